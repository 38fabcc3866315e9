#!/usr/bin/env python3
"""Checks the models with Spin: what must hold holds, and each planted bug is found.

    run.py [--tally FILE] [--trail] [MODEL[:RUN]...]

The header of a model lists its runs, one a line:

    holds NAME FLAGS          no error in the whole state space
    fails NAME FLAGS   words  Spin must find an error: a bug is planted

--trail prints the error of a run step by step, in the model's own words. Two runs at a time,
unless JOBS says otherwise. Works in build/models.
"""
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.join(os.path.dirname(HERE), "build", "models")
MEMORY_MB = 900
DEPTH = 1000000
TRAIL_STEPS = 60
PAN_FLAGS = ["-w", "-DSAFETY", "-DNOREDUCE", "-DCOLLAPSE", "-DVECTORSZ=2048",
             "-DMEMLIM=%d" % MEMORY_MB]
LINE = re.compile(r"^ \*   (holds|fails) (\S+)((?: +-D\S+)*)", re.M)


class Run:
    def __init__(self, model, kind, name, flags):
        self.model, self.kind, self.name, self.flags = model, kind, name, flags
        self.folder = os.path.join(WORK, "%s-%s-%s" % (model, kind, name))
        self.why = ""

    def command(self, args, out):
        with open(os.path.join(self.folder, out), "w") as f:
            return subprocess.call(args, cwd=self.folder, stdout=f, stderr=subprocess.STDOUT)

    def read(self, name):
        with open(os.path.join(self.folder, name), errors="replace") as f:
            return f.read()

    def check(self):
        """True when the outcome is the one the header promises."""
        os.makedirs(self.folder, exist_ok=True)
        for old in os.listdir(self.folder):
            os.remove(os.path.join(self.folder, old))
        shutil.copy(os.path.join(HERE, self.model + ".pml"), self.folder)
        if self.command(["spin"] + self.flags + ["-a", self.model + ".pml"], "spin.out") != 0:
            self.why = self.read("spin.out")
            return False
        # A planted bug is found soon: compiling fast is worth more than searching fast.
        speed = "-O2" if self.kind == "holds" else "-O0"
        if self.command(["gcc", speed] + PAN_FLAGS + ["-o", "pan", "pan.c"], "gcc.out") != 0:
            self.why = self.read("gcc.out")
            return False
        begin = time.time()
        table = "-w23" if self.kind == "holds" else "-w20"
        self.command(["./pan", "-m%d" % DEPTH, table], "pan.out")
        self.seconds = time.time() - begin
        return self.judge(self.read("pan.out"))

    def judge(self, text):
        errors = re.search(r"errors: (\d+)", text)
        states = re.search(r"(\d+) states, stored", text)
        memory = re.search(r"([\d.]+)\s+total actual memory usage", text)
        broken = re.search(r"assertion violated +(.*?) *\(at depth (\d+)\)", text)
        whole = "Search not completed" not in text and "max search depth too small" not in text
        if errors is None or states is None:
            self.why = text
            return False
        self.told = "%8d states, %5.1f s, %4.0f MiB" % (
            int(states.group(1)), self.seconds, float(memory.group(1)) if memory else 0)
        if broken:
            self.told += ", broken: %s" % broken.group(1)
        if self.kind == "fails":
            self.why = "" if broken else "the planted bug was not found"
        elif errors.group(1) != "0":
            self.why = "see: ./dev models --trail %s:%s" % (self.model, self.name)
        elif not whole:
            self.why = "the search was not finished"
        return not self.why

    def trail(self):
        """The steps that lead to the error, as few as Spin finds."""
        self.command(["gcc", "-O1", "-DREACH"] + PAN_FLAGS + ["-o", "pan", "pan.c"], "gcc.out")
        self.command(["./pan", "-m%d" % TRAIL_STEPS, "-i"], "short.out")
        if not glob.glob(os.path.join(self.folder, "*.trail")):
            print("no error in %s:%s" % (self.model, self.name))
            return
        text = subprocess.run(
            ["spin"] + self.flags + ["-t", self.model + ".pml"],
            cwd=self.folder, capture_output=True, text=True, check=False).stdout
        print("%s:%s" % (self.model, self.name))
        for line in text.splitlines():
            if line.startswith("spin: text of failed assertion"):
                print("  broken: %s" % line.split(":", 2)[2].strip())
            elif line.startswith("   ") and ":\tproc" not in line:
                print("  " + line.strip())


def runs_of(model):
    with open(os.path.join(HERE, model + ".pml")) as f:
        found = LINE.findall(f.read())
    return [Run(model, kind, name, flags.split()) for kind, name, flags in found]


def chosen(words):
    models = sorted(os.path.basename(p)[:-4] for p in glob.glob(os.path.join(HERE, "*.pml")))
    runs = [r for m in models for r in runs_of(m)]
    for word in words:
        model, _, name = word.partition(":")
        if not [r for r in runs if r.model == model and name in ("", r.name)]:
            sys.exit("models: no run %s; there are:\n  %s" % (
                word, "\n  ".join("%s:%s" % (r.model, r.name) for r in runs)))
    if words:
        split = [w.partition(":") for w in words]
        runs = [r for r in runs
                if any(r.model == m and n in ("", r.name) for m, _, n in split)]
    # The long ones first, so that both processors end together.
    return sorted(runs, key=lambda r: r.kind != "holds")


def main(args):
    tally = None
    trail = "--trail" in args
    args = [a for a in args if a != "--trail"]
    if "--tally" in args:
        at = args.index("--tally")
        tally = args[at + 1]
        del args[at:at + 2]
    runs = chosen(args)
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        for run, good in zip(runs, pool.map(Run.check, runs)):
            passed += good
            print("%s %s %-10s %-16s %s" % (
                "ok    " if good else "FAILED", run.kind, run.model, run.name,
                getattr(run, "told", "")), flush=True)
            if run.why:
                print(run.why)
    if trail:
        for run in runs:
            run.trail()
    if tally:
        with open(tally, "w") as f:
            f.write("%d %d 0\n" % (passed, len(runs) - passed))
    return 0 if passed == len(runs) and runs else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
