#!/usr/bin/env python3
"""Runs end-to-end scenarios against build/synod, each in a process of its own, and prints
one line for each: ok, FAILED or skip, its name, its time, and what it saw.

    run.py [--short] [--list] [--rounds N] [--tally FILE] [NAME...]
    run.py mix [OPTIONS]        all faults at once, for as long as asked: mix.py

--short is the part that ./dev test runs: under a minute. SYNOD names another binary.
"""
import importlib
import multiprocessing
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Failure  # noqa: E402

MODULES = ("scenarios_basic", "scenarios_clients", "scenarios_start", "scenarios_faults",
           "scenarios_gossip", "scenarios_disk", "scenarios_grow", "scenarios_mix")
TIMEOUT = 900


class Skip(Exception):
    """The scenario cannot run here; the text says what it needs."""


def scenarios():
    """{name: function}, in the order of the modules and of their lines."""
    found = {}
    for module in MODULES:
        for name, f in vars(importlib.import_module(module)).items():
            if name.startswith("scenario_"):
                found[name[len("scenario_"):]] = f
    return found


def one(name, pipe):
    """In the child: (word, sentence) through the pipe."""
    try:
        pipe.send(("ok", scenarios()[name]()))
    except Failure as e:
        pipe.send(("FAILED", str(e)))
    except Exception as e:
        # The two modules may be loaded under two names, so Skip is known by its name.
        if type(e).__name__ == "Skip":
            pipe.send(("skip", str(e)))
        else:
            pipe.send(("FAILED", traceback.format_exc().strip()))


def run(name):
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=one, args=(name, theirs))
    started = time.monotonic()
    child.start()
    theirs.close()
    word, sentence = "FAILED", "no end within %d s" % TIMEOUT
    if ours.poll(TIMEOUT):
        try:
            word, sentence = ours.recv()
        except EOFError:
            sentence = "the scenario's process died"
    child.join(15)
    if child.is_alive():
        child.terminate()
        child.join(5)
    print("%-6s %-16s %6.1f s  %s" % (word, name, time.monotonic() - started, sentence or ""),
          flush=True)
    return word


def main(args):
    names, tally, short = [], None, False
    if args[:1] == ["mix"]:
        return importlib.import_module("mix").main(args[1:])
    while args:
        a = args.pop(0)
        if a == "--short":
            short = True
        elif a == "--list":
            for name, f in scenarios().items():
                print("%-16s %s" % (name, (f.__doc__ or "").strip().split("\n")[0]))
            return 0
        elif a == "--rounds":
            os.environ["ROUNDS"] = args.pop(0)
        elif a == "--tally":
            tally = args.pop(0)
        else:
            names.append(a)
    all_of_them = scenarios()
    for name in names:
        if name not in all_of_them:
            print("no scenario %s; --list names them" % name)
            return 2
    chosen = names or [n for n, f in all_of_them.items() if not short or getattr(f, "short", False)]
    if short:
        os.environ["SHORT"] = "1"
    words = [run(name) for name in chosen]
    counts = tuple(words.count(w) for w in ("ok", "FAILED", "skip"))
    if tally:
        os.makedirs(os.path.dirname(tally), exist_ok=True)
        with open(tally, "w") as f:
            f.write("%d %d %d\n" % counts)
    else:
        print("%d passed, %d failed%s" % (counts[0], counts[1],
                                          ", %d skipped" % counts[2] if counts[2] else ""))
    return 1 if counts[1] or not words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
