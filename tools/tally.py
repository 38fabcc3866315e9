#!/usr/bin/env python3
"""Counts what passed and failed over the parts of a test run.

    tally.py meson TESTLOG OUT   read meson's testlog.json; cmocka cases count one by one
    tally.py one NAME STATUS OUT one command was one test
    tally.py sum FOLDER          print the closing line; exit 1 unless something passed and
                                 nothing failed

A tally file is one line: passed, failed, skipped.
"""
import json
import os
import re
import sys


def write(path, passed, failed, skipped=0):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as f:
        f.write("%d %d %d\n" % (passed, failed, skipped))


def cases(entry):
    """(passed, failed, skipped) of one executable in meson's log."""
    result = entry.get("result", "")
    if result == "SKIP":
        return 0, 0, 1
    text = (entry.get("stdout") or "") + (entry.get("stderr") or "")
    good = len(re.findall(r"^\[ +OK \]", text, re.M))
    if result in ("OK", "EXPECTEDFAIL"):
        return max(good, 1), 0, 0
    # cmocka names each failed case twice; a crash names none.
    bad = set(re.findall(r"^\[ +FAILED +\] (?!\d+ test)(.+)$", text, re.M))
    return good, max(len(bad), 1), 0


def meson(log, out):
    passed = failed = skipped = 0
    if os.path.exists(log):
        with open(log) as f:
            for line in f:
                p, n, s = cases(json.loads(line))
                passed, failed, skipped = passed + p, failed + n, skipped + s
    if passed + failed == 0:
        print("no test ran (%s)" % log)
        failed = 1
    write(out, passed, failed, skipped)
    return failed == 0


def total(folder):
    passed = failed = skipped = 0
    for name in sorted(os.listdir(folder)):
        if name.endswith(".tally"):
            with open(os.path.join(folder, name)) as f:
                p, n, s = (int(x) for x in f.read().split())
            passed, failed, skipped = passed + p, failed + n, skipped + s
    if skipped:
        print("%d skipped: what they need is not here" % skipped)
    print("%d passed, %d failed" % (passed, failed))
    return passed > 0 and failed == 0


def main(args):
    if args[0] == "meson":
        ok = meson(args[1], args[2])
    elif args[0] == "one":
        ok = args[2] == "0"
        print("%s %s" % ("ok    " if ok else "FAILED", args[1]))
        write(args[3], 1 if ok else 0, 0 if ok else 1)
    else:
        ok = total(args[1])
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
