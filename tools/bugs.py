#!/usr/bin/env python3
"""Does the simulator find every bug planted in the product? One row for each, as it is found.

    bugs.py BINARY [--count N] [--first SEED] [--jobs N] [--tally FILE] [--release FILE] [NAME...]

BINARY is built with -Dplanted=true. Seeds run upwards from the first until one ends with a
finding that it has not without the bug; exit 1 if a bug is not found within N seeds. NAME: only
these, and those of the rooms named. --release: this other binary must have no trace of any bug
of the product.

What runs of the simulator seldom or never show is found by a test that fails with the bug and
passes without it (BY_TEST); where they never do, they are not run (docs/howto/sim.md says why).
The bugs of some rooms are hunted by the random test of the room (ROOM_TESTS): it has more nodes and
more time than a run of a cluster.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BY_TEST = {
    "learner-counts": ("raft/raft_trace_test", "test/trace/raft/learners.txt"),
    "restart-votes": ("raft/raft_trace_test", "test/trace/raft/restart-stickiness.txt"),
    "vote-unwritten": ("wal/wal_test",),
    "digest-left-out": ("store/store_test",),
}
NEVER_IN_A_RUN = {"learner-counts", "vote-unwritten"}
# A program that takes the first seed and how many.
ROOM_TESTS = {
    "paxos": ("paxos/paxos_random_test", 20000),
    "swim": ("swim/swim_world_test", 20),
}
LINE = re.compile(r"^ {21}(\S+) +(sim|raft|wal|store|node|wire|swim|paxos) +(.+)$")


def listed(binary):
    """(name, room, what) of every bug the program knows."""
    text = subprocess.run([binary, "sim", "cluster", "--help"], capture_output=True, text=True,
                          check=True).stdout
    found = [LINE.match(line) for line in text.split("\n")]
    return [m.groups() for m in found if m]


def checker(finding, errors):
    """Who noticed: the words of the finding without its numbers, or the CHECK that failed."""
    died = re.search(r"^(?:\S*/)?(src/\S+|\S+\.[ch]):(\d+): CHECK failed: (.*)$", errors, re.M)
    if died:
        return "%s: %s" % (os.path.basename(died.group(1)), died.group(3))
    finding = re.sub(r"^at [0-9.]+ s: ", "", finding)
    return finding


def run(binary, first, count, *more):
    return subprocess.run([binary, "sim", "cluster", "--seed", str(first), "--count", str(count),
                           "--jobs", "1", "--no-shrink", *more], capture_output=True,
                          encoding="utf-8", errors="replace")


def run_test(binary, program, bug, *args):
    """A test of the same build, with that bug planted in it."""
    build = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(binary))))
    return subprocess.run([os.path.join(build, "test", "unit", program), *args],
                          env={**os.environ, "SYNOD_PLANTED": bug, "VERBOSE": "1"},
                          capture_output=True, encoding="utf-8", errors="replace")


def test_fails(binary, name, bug):
    """Does the test that finds the bug of this name fail while that bug is planted?"""
    program, *files = BY_TEST[name]
    return run_test(binary, program, bug, *[os.path.join(ROOT, f) for f in files]).returncode != 0


def hunt_worlds(binary, room, name):
    """As hunt; by the random test of the room, which must pass the same seeds without the bug."""
    began = time.monotonic()
    program, count = ROOM_TESTS[room]
    done = run_test(binary, program, name, "1", str(count))
    seeds = int(([0] + re.findall(r"^(?:seed|world) (\d+)", done.stderr, re.M))[-1])
    found = done.returncode != 0 and seeds > 0 and \
        run_test(binary, program, "", "1", str(seeds)).returncode == 0
    return (seeds if found else None, seeds, time.monotonic() - began,
            checker(done.stderr.strip().split("\n")[-1], done.stderr))


def hunt(binary, name, room, first, count):
    """(seed, or "test", or None; seeds run, seconds, who found it)"""
    if room in ROOM_TESTS:
        return hunt_worlds(binary, room, name)
    began = time.monotonic()
    found = (None, count, 0.0, "")
    if name not in NEVER_IN_A_RUN:
        found = hunt_seeds(binary, name, first, count)
    if found[0] is None and not found[3] and name in BY_TEST and \
            test_fails(binary, name, name) and not test_fails(binary, name, ""):
        return ("test", "test", time.monotonic() - began, os.path.basename(BY_TEST[name][-1]))
    return found


def hunt_seeds(binary, name, first, count):
    """The same, by runs alone."""
    began, seed, end = time.monotonic(), first, first + count
    while seed < end:
        done = run(binary, seed, end - seed, "--bug", name)
        m = re.search(r"^FINDING seed (\d+): (.*)$", done.stdout, re.M)
        if m is None:
            why = "" if done.returncode == 0 else done.stderr.strip()[-200:]
            return None, count, time.monotonic() - began, why
        seed = int(m.group(1))
        # What the seed also finds without the bug says nothing of it.
        if run(binary, seed, 1).returncode == 0:
            return (seed, seed - first + 1, time.monotonic() - began,
                    checker(m.group(2), done.stderr))
        seed += 1
    return None, count, time.monotonic() - began, ""


def traces(release, bugs):
    """Words of planted bugs in a binary that should have none."""
    with open(release, "rb") as f:
        program = f.read()
    words = [what for _, room, what in bugs if room != "sim"] + ["planted_now"]
    return [w for w in words if w.encode() in program]


def options(args):
    given = {"--count": 1000, "--first": 1, "--jobs": os.cpu_count() or 1, "--tally": None,
             "--release": None}
    names = []
    while args:
        word = args.pop(0)
        if word in given and args:
            value = args.pop(0)
            given[word] = value if given[word] is None else int(value)
        elif word.startswith("-"):
            sys.exit(__doc__)
        else:
            names.append(word)
    return given, names


def main(args):
    if not args:
        sys.exit(__doc__)
    binary = args.pop(0)
    given, names = options(args)
    bugs = [b for b in listed(binary) if not names or b[0] in names or b[1] in names]
    unknown = set(names) - {b[0] for b in bugs} - {b[1] for b in bugs}
    if unknown:
        sys.exit("bugs: this build knows no %s" % ", ".join(sorted(unknown)))
    missed = []
    if given["--release"]:
        left = traces(given["--release"], listed(binary))
        missed += ["release"] if left else []
        print("%s %s" % (given["--release"], "has traces: " + "; ".join(left) if left else
                         "has no trace of a planted bug"))
    with concurrent.futures.ThreadPoolExecutor(given["--jobs"]) as pool:
        runs = {pool.submit(hunt, binary, b[0], b[1], given["--first"], given["--count"]): b
                for b in bugs}
        for ended in concurrent.futures.as_completed(runs):
            name, room, _ = runs[ended]
            seed, seeds, seconds, who = ended.result()
            print("%-20s %-5s %6s  %6.1f s  %s" %
                  (name, room, seeds if seed is not None else "MISSED", seconds, who[:150]),
                  flush=True)
            missed += [name] if seed is None else []
    print("%d planted bugs, %d found, %d missed%s" %
          (len(bugs), len(bugs) - len([m for m in missed if m != "release"]), len(missed),
           ": " + " ".join(missed) if missed else ""))
    if given["--tally"]:
        with open(given["--tally"], "w", encoding="utf-8") as f:
            f.write("%d %d 0\n" % (len(bugs) + bool(given["--release"]) - len(missed), len(missed)))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
