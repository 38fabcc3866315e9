"""Everything at once: recorded clients, a probe of availability, and faults drawn from a seed,
alone and overlapping, for as long as asked; then healing, a reading of everything, and a verdict.

    ./dev e2e mix [--minutes 30] [--seed S] [--only kill-one,net-split,...] [--without ...]
                  [--nodes N] [--partitions P] [--replicas R] [--disk ram|real] [--rounds N]
                  [--load quiet|normal|heavy] [--families reg,ctr,...] [--short] [--keep] [--list]

Exit status 0: no finding. 1: at least one; the history is kept and named. docs/howto/e2e.md
"""
import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
import traceback

import box
import clients
import nemesis
import probe
from cluster import ROOT, SYNOD, Failure, wait_for
from history import Notes
from resp import Closed
from stage import NoRoom, Stage

SHORT_PLAN = (("kill-leader",), ("net-split",), ("pause-leader",), ("kill-all",), ("disk-flip",),
              ("net-flaky", "kill-one"), ("disk-error",), ("clock-jump", "pause-one"))
THINK_S = {"quiet": 0.1, "normal": 0.03, "heavy": 0.005}
GAP_S = 15.0     # without a write although a majority could talk: a finding
READ_S = 120.0   # the last reading of everything
CHECK_S = 900.0  # the judge
# More open files than this at the end than at the beginning: a leak. A node keeps up to 128 files
# of its directory open, each twice where it writes past the page cache.
FILES_GROWN = 2 * 128 + 16


def options(argv):
    p = argparse.ArgumentParser(prog="e2e mix", description="real nodes under mixed faults")
    p.add_argument("--minutes", type=float, default=30.0)
    p.add_argument("--seed", type=int, default=None)
    p.add_argument("--only", default="")
    p.add_argument("--without", default="")
    p.add_argument("--nodes", type=int, default=0, help="3 or 5; by the seed when not said")
    p.add_argument("--replicas", type=int, default=0)
    p.add_argument("--partitions", type=int, default=8)
    p.add_argument("--disk", choices=("ram", "real"), default="ram")
    p.add_argument("--rounds", type=int, default=10 ** 9)
    p.add_argument("--load", choices=sorted(THINK_S), default="normal")
    p.add_argument("--families", default="")
    p.add_argument("--short", action="store_true", help="the fixed plan of ./dev test e2e")
    p.add_argument("--keep", action="store_true", help="keep history and logs in any case")
    p.add_argument("--list", action="store_true")
    o = p.parse_args(argv)
    if o.seed is None:
        o.seed = 1 if o.short else int.from_bytes(os.urandom(3), "little")
    rng = random.Random("%d shape" % o.seed)
    o.nodes = o.nodes or (3 if o.short else rng.choice((3, 3, 5)))
    o.replicas = o.replicas or o.nodes
    for name in filter(None, (o.only + "," + o.without).split(",")):
        if not matching(name):
            p.error("no fault %s; --list names them" % name)
    # Short logs make many snapshots; long ones let a lagging node catch up from them.
    o.settings = rng.choice(({}, {"checkpoint-log-bytes": "1mb", "log-memory-bytes": "65536"},
                             {"checkpoint-log-bytes": "8mb", "log-memory-bytes": "1mb"}))
    return o


def matching(name):
    """kill names all faults that begin with kill-."""
    return [f for f in nemesis.ALL.values() if f.name == name or f.name.startswith(name + "-")]


def chosen(o):
    """The faults of this run."""
    only = [f for name in filter(None, o.only.split(",")) for f in matching(name)]
    without = [f for name in filter(None, o.without.split(",")) for f in matching(name)]
    every = only or nemesis.ALL.values()
    return [f for f in every if f not in without and f.nodes <= o.nodes]


def plan(o):
    """Rounds for ever: every fault comes once before one comes again."""
    if o.short:
        for names in SHORT_PLAN:
            yield [nemesis.ALL[name] for name in names]
        return
    rng = random.Random("%d plan" % o.seed)
    faults, deck = chosen(o), []
    while True:
        count = min(rng.choice((1, 1, 1, 2, 2, 3)), len(faults))
        if len(deck) < count:
            deck = deck + rng.sample(faults, len(faults))
        taken, deck = deck[:count], deck[count:]
        for f in taken[1:]:
            if f in taken[:taken.index(f)] or sum(t.destroys for t in taken) > 1:
                taken = taken[:1]  # twice the same, or two that lose data
                break
        yield taken


class Played:
    """One fault of one round, when it was over."""

    def __init__(self, fault, start_in):
        self.fault = fault
        self.begin = self.end = None
        self.due = time.monotonic() + start_in
        self.felt = False
        self.task = None


class Mix:
    def __init__(self, o, folder):
        self.o = o
        self.folder = folder
        self.rows = {}  # name: {"times", "felt", "gaps", "health", "after"}
        self.started = time.monotonic()
        extra = ["--partitions", str(o.partitions), "--replicas", str(o.replicas)]
        self.c = box.BoxCluster(o.nodes, os.path.join(folder, "nodes"), o.seed, extra,
                                1024 if o.disk == "ram" else 0)
        os.makedirs(self.c.folder)
        self.remotes = []
        self.findings = []
        self.usage_after = {}
        self.blind = []
        self.notes = Notes(os.path.join(folder, "notes"))

    # --- from the beginning to the end ---

    def begin(self):
        o = self.o
        self.c.make_nodes()
        seen = probe.shared(o.nodes, o.partitions)
        self.s = Stage(self.c, o.seed, self.notes, seen, o.partitions, o.replicas)
        self.s.settings = o.settings
        self.s.findings = self.findings
        self.s.refresh_walls()
        for n in self.c.nodes:
            n.start()
        for n in self.c.nodes:
            wait_for("node %d ready" % n.number, lambda n=n: self.c.node_ready(n), 30)
        self.usage_before = self.usage()
        addrs = [n.client for n in self.c.nodes]
        self.clients = clients.Remote(clients.main, os.path.join(self.folder, "ops"), addrs, o.seed,
                                      THINK_S[o.load],
                                      [f for f in o.families.split(",") if f] or None)
        self.probe = clients.Remote(probe.main, addrs, o.partitions, seen)
        self.remotes = [self.clients, self.probe]
        self.s.wait_health(self.idle, 30)
        self.clients.ask("run")
        time.sleep(0.5)

    def usage(self):
        """{node: (bytes resident, open files)}"""
        return {n.number: (n.status("VmRSS"), len(os.listdir("/proc/%d/fd" % n.pid)))
                for n in self.c.nodes}

    def idle(self):
        for r in self.remotes:
            if not r.process.is_alive():
                raise Failure("the process of the %s died" %
                              ("clients" if r is self.clients else "probe"))
        if time.monotonic() - getattr(self, "walls_at", 0) > 10:
            self.walls_at = time.monotonic()
            self.s.refresh_walls()

    def rounds(self):
        until = self.started + self.o.minutes * 60
        for count, faults in enumerate(plan(self.o), 1):
            if count > self.o.rounds or (time.monotonic() >= until and not self.o.short):
                return
            self.round(faults)

    def round(self, faults):
        first = time.monotonic()
        played = self.play(faults)
        over = max([p.end for p in played if p.end] or [first])
        health = self.s.wait_health(self.idle)
        names = [p.fault.name for p in played if p.begin]
        if not names:
            return
        gap = self.gap(played, first, over)
        self.keep(played, gap, health)
        slow = health is None or health > 2
        print("%6.1f s  %-40s gap %5.0f ms, health after %s%s" % (
            time.monotonic() - self.started, " + ".join(names), gap * 1000,
            "%.1f s" % health if health is not None else "never",
            ": at last, %s" % self.s.waited_for if slow else ""), flush=True)

    def play(self, faults):
        """All to their ends; those that find nobody to hurt do not begin."""
        played = [Played(f, 0 if i == 0 else self.s.span(0, 3)) for i, f in enumerate(faults)]
        running = list(played)
        while running:
            self.idle()
            self.s.supervise()
            self.s.tell_settings()
            now = time.monotonic()
            for p in [p for p in running if p.due <= now]:
                if not self.step(p):
                    running.remove(p)
            if running:
                soonest = min(p.due for p in running)
                time.sleep(min(0.05, max(0.0, soonest - time.monotonic())))
        return played

    def step(self, p):
        """False: it is over."""
        try:
            if p.task is None:
                p.task = p.fault.generator(self.s)
                wait = next(p.task)
                p.begin = time.monotonic()
                self.s.note("fault %s" % p.fault.name)
            else:
                wait = next(p.task)
            p.due = time.monotonic() + wait
            return True
        except StopIteration as e:
            p.felt = bool(e.value)
        except NoRoom:
            pass
        p.end = time.monotonic() if p.begin else None
        if p.begin:
            self.s.note("end of %s" % p.fault.name)
        return False

    # --- measuring ---

    def gap(self, played, first, over):
        """The longest time in which no write to some partition was acknowledged. Where no
        majority was left, what counts begins with the end of the faults."""
        alone = len(played) == 1
        serves = all(p.fault.serves for p in played)
        since = first if serves else over
        gaps, _ = self.probe.ask("gaps")
        worst = 0.0
        for partition, a, b in gaps:
            if b > since and a < over + 5:
                worst = max(worst, b - max(a, since))
        if alone and serves and worst > GAP_S:
            self.s.found("%s: no write to a partition for %.1f s though a majority was there" %
                         (played[0].fault.name, worst))
        return worst

    def keep(self, played, gap, health):
        for p in played:
            if p.begin:
                row = self.row(p.fault.name)
                row["times"] += 1
                row["felt"] += p.felt
        names = [p for p in played if p.begin]
        row = self.row(names[0].fault.name if len(names) == 1 else "several at once")
        if len(names) > 1:
            row["times"] += 1
            row["felt"] += all(p.felt for p in names)
        row["alone"] += 1
        row["gaps"].append(gap)
        if health is not None:
            row["health"].append(health)

    def row(self, name):
        return self.rows.setdefault(name, {"times": 0, "alone": 0, "felt": 0, "gaps": [],
                                           "health": []})

    # --- the end ---

    def finish(self):
        """All faults are over: everything is read, compared and judged."""
        self.c.box.heal()
        self.s.wait_health(self.idle)
        self.clients.ask("quiet")
        self.probe.ask("quiet")
        self.clients.ask("read")
        try:
            wait_for("the last reading", lambda: self.idle() or self.clients.ask("done?"), READ_S)
            wait_for("the probe's last answer", lambda: self.probe.ask("quiet"), 20)
        except Failure as e:
            self.s.found(str(e))
        differ = self.s.digests()
        if differ:
            self.s.found(differ)
        self.probed = self.probe.ask("end")
        self.asked = self.clients.ask("end")
        self.check_probe()
        for sentence in self.asked["wrong"] + self.probed["wrong"]:
            self.s.found(sentence)
        self.check_usage()
        self.c.close()
        self.notes.close()

    def check_probe(self):
        """Every acknowledged write of the probe counts once, no refused one does."""
        def value(key):
            for n in self.c.nodes:
                try:
                    got = n.call("GET", key)
                except Closed:
                    continue
                if got is None or isinstance(got, bytes):
                    return [int(got or 0)]
            return None
        for key, acked, unknown in self.probed["counters"]:
            got = wait_for("GET " + key, lambda key=key: value(key), 20)[0]
            if not acked <= got <= acked + unknown:
                self.s.found("%s is %d; %d acknowledged, %d unknown" % (key, got, acked, unknown))
        for kind in self.probed["errors"]:
            if kind not in clients.DID_NOT_HAPPEN + ("INDOUBT",):
                self.s.found("an error that says nothing of its outcome: %s" % kind)

    def check_usage(self):
        deadline = time.monotonic() + 10  # connections that were just closed
        while True:
            self.usage_after = self.usage()
            grown = {k: self.usage_after[k][1] - self.usage_before[k][1] for k in self.usage_after}
            if max(grown.values()) <= FILES_GROWN or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        for k, files in grown.items():
            if files > FILES_GROWN:
                self.s.found("node %d has %d more open files than at the beginning" % (k, files))

    def history(self):
        path = os.path.join(self.folder, "history")
        with open(path, "w") as out:
            out.write("synod-history 1\n# %s\n" % repeat_command(self.o))
            for part in ("notes", "ops"):
                if os.path.exists(os.path.join(self.folder, part)):
                    with open(os.path.join(self.folder, part)) as f:
                        shutil.copyfileobj(f, out)
        return path

    def judge(self, path):
        began = time.monotonic()
        try:
            out = subprocess.run([SYNOD, "sim", "check", path], capture_output=True, text=True,
                                 timeout=CHECK_S)
        except subprocess.TimeoutExpired:
            self.findings.append("the judge did not end within %d s" % CHECK_S)
            return
        print(out.stdout[-6000:] + out.stderr[-2000:], end="")
        print("judged in %.1f s" % (time.monotonic() - began))
        if out.returncode != 0:
            self.findings.append("the history was judged: status %d" % out.returncode)

    def table(self):
        def ms(values):
            return "%6.0f %8.0f" % (statistics.median(values) * 1000, max(values) * 1000) \
                if values else "     -        -"

        def seconds(values):
            return "%6.1f %7.1f" % (statistics.median(values), max(values)) if values \
                else "     -       -"
        print("\n%-16s %5s %5s %5s  %15s  %14s" % ("fault", "times", "felt", "alone",
                                                 "gap ms: median, longest",
                                                 "s to health"))
        for name, r in sorted(self.rows.items()):
            serves = name in nemesis.ALL and nemesis.ALL[name].serves
            note = "" if serves else "  after its end" if name in nemesis.ALL else ""
            print("%-16s %5d %5d %5d  %s          %s%s" % (
                name, r["times"], r["felt"], r["alone"], ms(r["gaps"]), seconds(r["health"]), note))
        c = self.asked["counts"]
        print("\n%d operations on %d objects: %d acknowledged, %d refused, %d unknown; errors %s" %
              (c["sent"], self.asked["objects"], c["acked"], c["refused"], c["unknown"],
               self.asked["errors"] or "none"))
        writes = sum(acked for _, acked, _ in self.probed["counters"])
        print("probe: %d acknowledged writes, the longest answer after %.1f s; errors %s; without "
              "the processor %s" % (writes, self.probed["longest"], self.probed["errors"] or "none",
                                self.blindness()))
        for n in sorted(self.usage_after):
            (r0, f0), (r1, f1) = self.usage_before[n], self.usage_after[n]
            print("node %d: resident %.1f MB, at the end %.1f; open files %d, at the end %d" % (
                n, r0 / 1e6, r1 / 1e6, f0, f1))

    def blindness(self):
        if not self.blind:
            return "never"
        return "%d times, at most %.0f ms" % (len(self.blind),
                                              1000 * max(b - a for a, b in self.blind))

    def close(self):
        for r in self.remotes:
            r.close()
        self.c.close()


def repeat_command(o):
    words = ["./dev e2e mix", "--seed %d" % o.seed]
    for name, usual in (("only", ""), ("without", ""), ("disk", "ram"), ("load", "normal"),
                        ("families", ""), ("partitions", 8)):
        if getattr(o, name) != usual:
            words.append("--%s %s" % (name, getattr(o, name)))
    words.append("--short" if o.short else "--nodes %d --replicas %d --minutes %g" %
                 (o.nodes, o.replicas, o.minutes))
    return " ".join(words)


def inside(o):
    folder = os.path.join(ROOT, "build", "e2e", "mix-%d-%d" % (o.seed, int(time.time())))
    os.makedirs(folder)
    print("%s: %d nodes, %s; %s" % (repeat_command(o), o.nodes, o.settings or "usual settings",
                                    os.path.relpath(folder, ROOT)), flush=True)
    m = Mix(o, folder)
    try:
        m.begin()
        m.rounds()
        m.blind = m.probe.ask("gaps")[1]
        m.finish()
    except (Failure, Closed) as e:
        m.findings.append(str(e))
    except KeyboardInterrupt:
        print("interrupted; kept: %s" % os.path.relpath(folder, ROOT))
        return 130
    except Exception:  # a fault of the harness must not lose the history
        m.findings.append(traceback.format_exc())
    finally:
        m.close()
    path = m.history()
    m.judge(path)
    if m.usage_after:
        m.table()
    return verdict(m, path, o.keep)


def verdict(m, path, keep):
    findings = m.findings
    for sentence in findings:
        print("FINDING  %s" % sentence)
    if findings or keep:
        print("kept: %s" % os.path.relpath(path, ROOT))
    else:
        shutil.rmtree(m.folder, ignore_errors=True)
    print("%d finding%s" % (len(findings), "" if len(findings) == 1 else "s"))
    return 1 if findings else 0


def main(argv):
    o = options(argv)
    if o.list:
        for f in nemesis.ALL.values():
            print("%-16s %s" % (f.name, f.text))
        return 0
    if os.environ.get(box.INSIDE):
        return inside(o)
    lacks = box.missing()
    if lacks:
        print("e2e mix needs %s" % lacks)
        return 2
    return box.enter([os.path.abspath(__file__)] + argv + ["--seed", str(o.seed)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
