#!/usr/bin/env python3
"""How members learn of each other's death and return, and what that costs: synod beside serf.

    membership.py [--nodes 50] [--rounds 5] [--seconds 60] [--quick] [--systems synod,serf]
                  [--no-history]

As many real nodes of each, on one machine, for the whole run, each system in a network
namespace of its own whose loopback counts all that its nodes send. Measured are

  idle    after 15 s of rest, for S seconds: CPU of a node, packets and bytes a node sends
  death   a node is killed: until the first and until the last of the others says that it is dead
  return  it is started again: until the last of the others says that it is back

in R rounds, in which the systems take turns. Times are those at which a node's line about it
arrives here. Both seal their packets with a key; serf has the settings it has by default, which
are its authors' for one network. One JSON line is appended to bench/history.ndjson, unless
--quick. Needs root, for the namespaces.
"""
import os
import random
import re
import selectors
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ROOT, "test", "e2e"))
sys.path.insert(0, HERE)
import box  # noqa: E402
from bench import cpu_seconds, keep  # noqa: E402
from cluster import SYNOD, Failure, expect, run  # noqa: E402

PATIENCE_S = 90  # for all to know; longer is a finding
REST_S = 15


class Reader(threading.Thread):
    """The lines of all nodes, with the time at which they came."""

    def __init__(self):
        super().__init__(daemon=True)
        self.selector = selectors.DefaultSelector()
        self.lock = threading.Condition()
        self.start()

    def add(self, stream, heard):
        os.set_blocking(stream.fileno(), False)
        self.selector.register(stream, selectors.EVENT_READ, [heard, b""])

    def run(self):
        while True:
            for key, _ in self.selector.select(0.2):
                self.read(key)

    def read(self, key):
        heard, rest = key.data
        data = os.read(key.fd, 65536)
        now = time.monotonic()
        lines = (rest + data).split(b"\n")
        key.data[1] = lines.pop()
        with self.lock:
            for line in lines:
                heard(now, line.decode(errors="replace"))
            self.lock.notify_all()
        if not data:
            self.selector.unregister(key.fileobj)


class Members:
    """Nodes of one system in one namespace. Node i is at NET.i."""

    def __init__(self, count, folder, reader):
        self.count, self.folder, self.reader = count, folder, reader
        self.space = "bench-" + self.name
        self.processes = {}
        self.seen = {}  # (observer, subject): (time, word)
        run("ip", "netns", "add", self.space)
        run("ip", "netns", "exec", self.space, "ip", "link", "set", "lo", "up")

    def address(self, i):
        return "127.0.1.%d" % i

    def begin(self, i):
        log = open(os.path.join(self.folder, "%s-%d.log" % (self.name, i)), "ab")
        p = subprocess.Popen(["nsenter", "--net=/run/netns/" + self.space] + self.command(i),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)

        def heard(now, line):
            log.write(line.encode() + b"\n")
            log.flush()
            found = self.reads(line)
            if found:
                self.seen[i, found[0]] = (now, found[1])
        self.processes[i] = p
        self.reader.add(p.stdout, heard)

    def kill(self, i):
        self.processes[i].kill()
        at = time.monotonic()
        self.processes[i].wait()
        return at

    def stop(self):
        for p in self.processes.values():
            p.kill()
        for p in self.processes.values():
            p.wait()

    def wait(self, subjects, word, since, patience=PATIENCE_S):
        """When each other node said so of each of them; None where one has not in time."""
        until = time.monotonic() + patience
        with self.reader.lock:
            while True:
                at = {}
                for s in subjects:
                    for o in range(1, self.count + 1):
                        when, what = self.seen.get((o, s), (0, ""))
                        if o != s:
                            at[o, s] = when if what == word and when >= since else None
                if None not in at.values():
                    return at
                left = until - time.monotonic()
                if left <= 0:
                    return at
                self.reader.lock.wait(left)

    def all_known(self):
        at = self.wait(range(1, self.count + 1), "alive", 0, 180)
        unknown = [pair for pair, when in at.items() if when is None]
        expect(not unknown, "%s: %d of %d have not heard of another, as %s" % (
            self.name, len(unknown), len(at), unknown[:3]))

    def pids(self):
        return [p.pid for p in self.processes.values()]

    def traffic(self):
        """Packets and bytes through the namespace's loopback, UDP datagrams sent."""
        out = run("ip", "netns", "exec", self.space, "cat", "/proc/net/dev",
                  "/proc/net/snmp").stdout
        lo = re.search(r"^\s*lo:(.*)$", out, re.M).group(1).split()
        udp = [line.split() for line in out.split("\n") if line.startswith("Udp:")]
        return {"packets": int(lo[1]), "bytes": int(lo[0]),
                "datagrams": int(udp[1][udp[0].index("OutDatagrams")])}


class Synod(Members):
    name = "synod"

    def __init__(self, count, folder, reader):
        super().__init__(count, folder, reader)
        self.peers = ",".join("%s:17001" % self.address(i) for i in range(1, count + 1))

    def command(self, i):
        return [SYNOD, "server", "--dir", os.path.join(self.folder, "synod-%d" % i),
                "--listen", "%s:7001" % self.address(i), "--found", self.peers,
                "--partitions", "1"]

    def reads(self, line):
        found = re.search(r'msg="member is (\w+)" peer=127\.0\.1\.(\d+):', line)
        return found and (int(found.group(2)), found.group(1))

    def begin_all(self):
        for i in range(1, self.count + 1):
            self.begin(i)


class Serf(Members):
    name = "serf"

    def __init__(self, count, folder, reader):
        super().__init__(count, folder, reader)
        self.key = run("serf", "keygen").stdout.strip()

    def command(self, i):
        join = ["-join", self.address(1 if i > 1 else 2)]
        return ["serf", "agent", "-node", "s%d" % i, "-bind", self.address(i), "-rpc-addr",
                "%s:7373" % self.address(i), "-encrypt", self.key, "-log-level", "info"] + (
                    join if i > 1 or 2 in self.processes else [])

    def reads(self, line):
        found = re.search(r"serf: EventMember(Join|Failed): s(\d+) ", line)
        return found and (int(found.group(2)), "alive" if found.group(1) == "Join" else "dead")

    def begin_all(self):
        self.begin(1)
        time.sleep(1)
        for i in range(2, self.count + 1):
            self.begin(i)
            time.sleep(0.05)


def idle(systems, seconds):
    before = {s.name: ([cpu_seconds([p]) for p in s.pids()], s.traffic()) for s in systems}
    start = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    rows = {}
    for s in systems:
        cpu, traffic = before[s.name]
        each = [(after - was) * 60 / took for after, was in
                zip((cpu_seconds([p]) for p in s.pids()), cpu)]
        now = s.traffic()
        rows[s.name] = {
            "cpu_s_per_min_median": round(statistics.median(each), 3),
            "cpu_s_per_min_mean": round(statistics.mean(each), 3),
            "cpu_s_per_min_max": round(max(each), 3)}
        for word in traffic:
            rows[s.name][word + "_per_s"] = round((now[word] - traffic[word]) / took / s.count, 2)
    return rows


def one_round(s, victim):
    killed = s.kill(victim)
    at = s.wait([victim], "dead", killed)
    got = {"unaware": sum(when is None for when in at.values())}
    said = [when for when in at.values() if when is not None]
    got["death_first_s"] = round(min(said) - killed, 2) if said else None
    got["death_all_s"] = round(max(said) - killed, 2) if not got["unaware"] else None
    time.sleep(2)
    began = time.monotonic()
    s.begin(victim)
    at = s.wait([victim], "alive", began)
    got["unaware_of_return"] = sum(when is None for when in at.values())
    got["return_all_s"] = (round(max(at.values()) - began, 2) if not got["unaware_of_return"]
                           else None)
    time.sleep(3)
    return got


def summary(rounds):
    out = {}
    for word in ("death_first_s", "death_all_s", "return_all_s"):
        got = [r[word] for r in rounds if r[word] is not None]
        out[word] = {"median": round(statistics.median(got), 2) if got else None,
                     "low": min(got, default=None), "high": max(got, default=None),
                     "failed": len(rounds) - len(got)}
    return out


ROWS = (("CPU of an idle node, s a minute, median", "idle", "cpu_s_per_min_median"),
        ("  mean of all nodes", "idle", "cpu_s_per_min_mean"),
        ("  of the busiest", "idle", "cpu_s_per_min_max"),
        ("packets an idle node sends, a second", "idle", "packets_per_s"),
        ("  of them datagrams", "idle", "datagrams_per_s"),
        ("bytes an idle node sends, a second", "idle", "bytes_per_s"),
        ("death: until the first knows, s", "rounds", "death_first_s"),
        ("death: until all know, s", "rounds", "death_all_s"),
        ("return: until all know, s", "rounds", "return_all_s"))


def show(names, results):
    print("\n%-42s" % "" + "".join("%24s" % n for n in names))
    for text, part, word in ROWS:
        line = "%-42s" % text
        for n in names:
            got = results[n][part][word]
            if part == "idle":
                line += "%24.3f" % got if "cpu" in word else "%24.1f" % got
            else:
                line += "%24s" % ("%s (%s..%s)%s" % (
                    got["median"], got["low"], got["high"],
                    ", %d failed" % got["failed"] if got["failed"] else ""))
        print(line)


def judge(results):
    a, b = results["synod"], results["serf"]
    found = []
    for what, over, under, most in (
            ("CPU of an idle node, mean", a["idle"]["cpu_s_per_min_mean"],
             b["idle"]["cpu_s_per_min_mean"], 0.5),
            ("death: until all know", a["rounds"]["death_all_s"]["median"],
             b["rounds"]["death_all_s"]["median"], 1.0),
            ("return: until all know", a["rounds"]["return_all_s"]["median"],
             b["rounds"]["return_all_s"]["median"], 1.0)):
        ratio = round(over / under, 2) if over is not None and under else None
        found.append({"what": "%s: synod / serf" % what, "ratio": ratio, "wanted": most,
                      "met": ratio is not None and ratio <= most})
        print("%-42s %6s  wanted at most %g: %s" % (found[-1]["what"], ratio, most,
                                                  "met" if found[-1]["met"] else "NOT MET"))
    return found


def parse(args):
    o = {"nodes": 50, "rounds": 5, "seconds": 60.0, "history": True, "systems": ["synod", "serf"]}
    while args:
        a = args.pop(0)
        if a == "--quick":
            o.update(nodes=10, rounds=1, seconds=10.0, history=False)
        elif a == "--nodes":
            o["nodes"] = int(args.pop(0))
        elif a == "--rounds":
            o["rounds"] = int(args.pop(0))
        elif a == "--seconds":
            o["seconds"] = float(args.pop(0))
        elif a == "--systems":
            o["systems"] = args.pop(0).split(",")
            o["history"] = False
        elif a == "--no-history":
            o["history"] = False
        else:
            print(__doc__)
            sys.exit(2)
    return o


MAKERS = {"synod": Synod, "serf": Serf}


def measure(o, folder):
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.makedirs("/run/netns")
    reader, systems, rounds = Reader(), [], {}
    chance = random.Random(1)
    try:
        for name in o["systems"]:
            s = MAKERS[name](o["nodes"], folder, reader)
            systems.append(s)
            began = time.monotonic()
            s.begin_all()
            s.all_known()
            print("membership: %d nodes of %s know each other after %.1f s" % (
                o["nodes"], name, time.monotonic() - began), flush=True)
        time.sleep(REST_S)
        resting = idle(systems, o["seconds"])
        print("membership: idle for %g s" % o["seconds"], flush=True)
        for i in range(o["rounds"]):
            victim = chance.randint(2, o["nodes"])
            turn = i % len(systems)
            for s in systems[turn:] + systems[:turn]:
                rounds.setdefault(s.name, []).append(one_round(s, victim))
                print("membership: round %d, %s, node %d: %s" % (i + 1, s.name, victim,
                                                                 rounds[s.name][-1]), flush=True)
    finally:
        for s in systems:
            s.stop()
    return {n: {"idle": resting[n], "rounds": summary(rounds[n])} for n in o["systems"]}


def main(args):
    o = parse(list(args))
    if not os.environ.get(box.INSIDE):
        return box.enter([os.path.abspath(__file__)] + args)
    expect("serf" not in o["systems"] or shutil.which("serf"), "serf is not installed")
    folder = tempfile.mkdtemp(prefix="bench-membership-", dir=os.path.join(ROOT, "build"))
    try:
        results = measure(o, folder)
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(folder, ignore_errors=True)
    show(o["systems"], results)
    judged = judge(results) if set(o["systems"]) == {"synod", "serf"} else []
    if o["history"]:
        keep({"bench": "membership", "nodes": o["nodes"], "rounds": o["rounds"],
              "seconds": o["seconds"], "serf": run("serf", "version").stdout.split("\n")[0],
              "results": results, "ratios": judged})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as e:
        sys.exit("membership: %s" % e)
