#!/usr/bin/env python3
"""synod, Redis and etcd side by side: one run, interleaved, ratios from the same rounds.

    bench.py [--quick] [--rounds N] [--seconds S] [--only WORD] [--systems A,B]
             [--data DIR] [--no-history] [--redis-benchmark]

Every system runs for the whole time; each round measures every pair of load and system for
S seconds, in an order that turns from round to round. What is reported are medians over the
rounds with their lowest and highest, the servers' CPU per operation (all processes of the
system), and medians of the ratios within rounds: absolute figures drift, ratios do not.
One JSON line is appended to bench/history.ndjson, unless --quick.
"""
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ROOT, "test", "e2e"))
from cluster import Cluster, Failure, expect, free_ports, wait_for  # noqa: E402
from resp import Closed, Conn  # noqa: E402

LOAD = os.environ.get("LOAD", os.path.join(ROOT, "build", "release", "bench", "load"))
TICKS = os.sysconf("SC_CLK_TCK")
KEYS = 10000


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_bytes(pid):
    with open("/proc/%d/status" % pid) as f:
        return next((int(x.split()[1]) * 1024 for x in f if x.startswith("VmRSS")), 0)


class System:
    """Some servers: where to load them, and how they are loaded."""

    proto = "resp"

    def __init__(self):
        self.processes = []

    def spawn(self, *command):
        log = open(os.path.join(self.folder, "%s.log" % self.name), "ab")
        self.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                               stderr=log))
        log.close()

    def pids(self):
        return [p.pid for p in self.processes]

    def stop(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()


class Redis(System):
    def __init__(self, folder, replicas):
        super().__init__()
        self.name = "redis3" if replicas else "redis1"
        self.folder = folder
        self.ports = []
        first = free_ports(1 + replicas)
        for i in range(1 + replicas):
            port = first + i
            data = os.path.join(folder, "%s-%d" % (self.name, i))
            os.makedirs(data)
            args = ["--replicaof", "127.0.0.1 %d" % first] if i else []
            self.spawn("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", data,
                       "--save", "", "--appendonly", "yes", "--appendfsync", "always", *args)
            self.ports.append(port)
            wait_for("redis-server", lambda: ping(port), 10)
        if replicas:
            wait_for("replicas", lambda: b"connected_slaves:%d" % replicas in
                     call(first, "INFO", "replication") and b"wait_bgsave" not in
                     call(first, "INFO", "replication"), 20)
            time.sleep(1)

    def targets(self, _):
        return "127.0.0.1:%d" % self.ports[0]


class Etcd(System):
    proto = "etcd"
    name = "etcd3"

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        first = free_ports(6)
        self.ports = [first + i for i in range(3)]
        members = ",".join("n%d=http://127.0.0.1:%d" % (i, first + 3 + i) for i in range(3))
        for i in range(3):
            client, peer = ("http://127.0.0.1:%d" % p for p in (first + i, first + 3 + i))
            self.spawn("etcd", "--name", "n%d" % i,
                       "--data-dir", os.path.join(folder, "etcd%d" % i),
                       "--listen-client-urls", client, "--advertise-client-urls", client,
                       "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                       "--initial-cluster", members, "--log-level", "error")
        wait_for("etcd", lambda: load_once(self, "set", 1, seconds=0.2)["ops"] > 0, 30, 0.5)

    def targets(self, _):
        return ",".join("127.0.0.1:%d" % p for p in self.ports)


class Synod(System):
    name = "synod"

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.cluster = Cluster(3, folder=os.path.join(folder, "synod"))
        self.cluster.__enter__()

    def pids(self):
        return [n.pid for n in self.cluster.nodes]

    def targets(self, spread):
        nodes = self.cluster.nodes if spread else self.cluster.nodes[:1]
        return ",".join("%s:%d" % n.client for n in nodes)

    def stop(self):
        self.cluster.close()


def ping(port):
    return call(port, "PING") == "PONG"


def call(port, *args):
    with Conn(("127.0.0.1", port)) as c:
        return c.call(*args)


def load_once(system, mode, clients, pipeline=1, wait="none", spread=False, seconds=2.0, extra=()):
    command = [LOAD, "--target", system.targets(spread), "--proto", system.proto, "--mode", mode,
               "--clients", str(clients), "--pipeline", str(pipeline), "--wait", wait, "--keys",
               str(KEYS), "--seconds", str(seconds), "--prefix",
               "n:" if mode == "incr" else "key:"] + list(extra)
    pids = system.pids()
    before = cpu_seconds(pids)
    out = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if not out.stdout:
        raise Closed("%s: %s" % (system.name, out.stderr.strip()), False)
    got = json.loads(out.stdout)
    got["cpu_us"] = (cpu_seconds(pids) - before) * 1e6 / max(got["ops"], 1)
    return got


# name of the load, mode, clients, pipeline, and who runs it how: (system, label, wait, spread)
LOADS = [
    ("write c50", "set", 50, 1, [
        ("synod", "synod, node 1", "none", False), ("synod", "synod, 3 nodes", "none", True),
        ("redis1", "redis alone", "none", False), ("redis3", "redis WAIT 1", "each", False),
        ("etcd3", "etcd", "none", True)]),
    ("write c50 P16", "set", 50, 16, [
        ("synod", "synod, node 1", "none", False), ("synod", "synod, 3 nodes", "none", True),
        ("redis1", "redis alone", "none", False), ("redis3", "redis WAIT 1", "batch", False)]),
    ("write c1", "set", 1, 1, [
        ("synod", "synod, node 1", "none", False), ("redis1", "redis alone", "none", False),
        ("redis3", "redis WAIT 1", "each", False), ("etcd3", "etcd", "none", True)]),
    ("incr c50 P16", "incr", 50, 16, [
        ("synod", "synod, 3 nodes", "none", True), ("redis1", "redis alone", "none", False)]),
    ("read c50", "get", 50, 1, [
        ("synod", "synod, node 1", "none", False), ("synod", "synod, 3 nodes", "none", True),
        ("redis1", "redis alone", "none", False), ("etcd3", "etcd", "none", True)]),
    ("read c50 P16", "get", 50, 16, [
        ("synod", "synod, node 1", "none", False), ("synod", "synod, 3 nodes", "none", True),
        ("redis1", "redis alone", "none", False)]),
]

# What must hold: numerator, denominator, at least this, field.
RATIOS = [
    ("write c50", "synod, node 1", "etcd", 5.0),
    ("write c50", "synod, 3 nodes", "etcd", 5.0),
    ("write c50", "synod, node 1", "redis WAIT 1", 1.0),
    ("write c50", "synod, 3 nodes", "redis WAIT 1", 1.0),
    ("write c50 P16", "synod, node 1", "redis WAIT 1", 1.0),
    ("write c50 P16", "synod, 3 nodes", "redis WAIT 1", 1.0),
    ("read c50", "synod, node 1", "etcd", 8.0),
    ("read c50", "synod, 3 nodes", "etcd", 8.0),
]
LATENCY_LIMIT = 3.0  # one client's median write over the bare fdatasync


def fdatasync_us(folder, count=300):
    """The median of fdatasync after 4 KiB on blocks that are already written."""
    path = os.path.join(folder, "sync-probe")
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        block, took = b"\1" * 4096, []
        os.pwrite(fd, b"\2" * 4096 * 256, 0)
        os.fsync(fd)
        for i in range(count):
            at = time.perf_counter()
            os.pwrite(fd, block, (i % 256) * 4096)
            os.fdatasync(fd)
            took.append((time.perf_counter() - at) * 1e6)
        return statistics.median(took)
    finally:
        os.close(fd)
        os.unlink(path)


def redis_benchmark(system, pipeline, count):
    out = subprocess.run(
        ["redis-benchmark", "-p", system.targets(False).split(":")[1], "-t", "set,get", "-n",
         str(count), "-c", "50", "-P", str(pipeline), "-r", str(KEYS), "-d", "100", "--csv"],
        capture_output=True, text=True, timeout=300)
    rows = re.findall(r'^"(SET|GET)","([\d.]+)","[\d.]+","[\d.]+","([\d.]+)","[\d.]+","([\d.]+)"',
                      out.stdout, re.M)
    return {name.lower(): {"per_s": float(rate), "p50_us": float(p50) * 1000,
                           "p99_us": float(p99) * 1000, "cpu_us": 0, "errors": 0}
            for name, rate, p50, p99 in rows}


class Bench:
    def __init__(self, options):
        self.options = options
        self.rows = {}  # (load, label): [result of each round]
        self.sync = []

    def add(self, load, label, got):
        self.rows.setdefault((load, label), []).append(got)

    def measure(self, systems, number):
        o = self.options
        self.sync.append(fdatasync_us(o["folder"]))
        for load, mode, clients, pipeline, runs in LOADS:
            if o["only"] and o["only"] not in load:
                continue
            runs = [r for r in runs if r[0] in systems]
            turn = number % max(len(runs), 1)
            for name, label, wait, spread in runs[turn:] + runs[:turn]:
                got = load_once(systems[name], mode, clients, pipeline, wait, spread, o["seconds"])
                self.add(load, label, got)
                if got["errors"]:
                    print("  %s, %s: %d errors, first: %s" % (load, label, got["errors"],
                                                              got["first_error"]))
        if o["redis_benchmark"]:
            for name, label in (("synod", "synod, node 1"), ("redis1", "redis alone")):
                for pipeline, count in ((1, 50000), (16, 400000)):
                    if name in systems:
                        for word, got in redis_benchmark(systems[name], pipeline, count).items():
                            self.add("redis-benchmark %s P%d" % (word, pipeline), label, got)

    def summary(self):
        results = {}
        for (load, label), got in self.rows.items():
            rates = [g["per_s"] for g in got]
            results.setdefault(load, {})[label] = {
                "per_s": round(statistics.median(rates)), "low": round(min(rates)),
                "high": round(max(rates)),
                "p50_us": round(statistics.median(g["p50_us"] for g in got)),
                "p99_us": round(statistics.median(g["p99_us"] for g in got)),
                "cpu_us": round(statistics.median(g["cpu_us"] for g in got), 2),
                "errors": sum(g["errors"] for g in got)}
        return results

    def ratios(self):
        found = []
        for load, over, under, least in RATIOS:
            a, b = self.rows.get((load, over)), self.rows.get((load, under))
            if a and b:
                each = [x["per_s"] / max(y["per_s"], 1e-9) for x, y in zip(a, b)]
                found.append({"what": "%s: %s / %s" % (load, over, under),
                              "median": round(statistics.median(each), 2),
                              "low": round(min(each), 2), "high": round(max(each), 2),
                              "wanted": least, "met": statistics.median(each) >= least})
        one = self.rows.get(("write c1", "synod, node 1"))
        if one:
            each = [g["p50_us"] / s for g, s in zip(one, self.sync)]
            found.append({"what": "write c1: median latency / bare fdatasync",
                          "median": round(statistics.median(each), 2), "low": round(min(each), 2),
                          "high": round(max(each), 2), "wanted": LATENCY_LIMIT,
                          "met": statistics.median(each) <= LATENCY_LIMIT})
        return found


def show(results, ratios, sync, rss):
    print("\n%-26s %-16s %9s %19s %8s %8s %9s" % ("load", "system", "per s", "lowest..highest",
                                                   "p50 us", "p99 us", "cpu us/op"))
    for load, by_label in results.items():
        for label, r in by_label.items():
            print("%-26s %-16s %9d %9d..%-9d %8d %8d %9.2f%s" % (
                load, label, r["per_s"], r["low"], r["high"], r["p50_us"], r["p99_us"], r["cpu_us"],
                "  %d errors" % r["errors"] if r["errors"] else ""))
    print("\nbare fdatasync of 4 KiB: median %.0f us (%.0f..%.0f)" % (
        statistics.median(sync), min(sync), max(sync)))
    print("RSS, MB: %s" % ", ".join("%s %s" % (k, "/".join(str(x) for x in v))
                                    for k, v in rss.items()))
    print()
    for r in ratios:
        word = "at most" if "fdatasync" in r["what"] else "at least"
        print("%-58s %6.2f  (%.2f..%.2f)  wanted %s %g: %s" % (
            r["what"], r["median"], r["low"], r["high"], word, r["wanted"],
            "met" if r["met"] else "NOT MET"))


def machine():
    cpu = ""
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    return {"cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release()}


def keep(line):
    """One more line of the history: of which commit, when and where, and this."""
    line = {"commit": commit(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": machine(), **line}
    with open(os.path.join(HERE, "history.ndjson"), "a") as f:
        f.write(json.dumps(line) + "\n")


def commit():
    out = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True,
                         text=True)
    dirty = subprocess.run(["git", "-C", ROOT, "status", "--porcelain", "-uno"],
                           capture_output=True, text=True)
    return out.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def parse(args):
    o = {"rounds": 5, "seconds": 2.0, "only": "", "data": None, "history": True,
         "systems": ["synod", "redis1", "redis3", "etcd3"], "redis_benchmark": False}
    while args:
        a = args.pop(0)
        if a == "--quick":
            o.update(rounds=1, seconds=1.0, history=False)
        elif a == "--rounds":
            o["rounds"] = int(args.pop(0))
        elif a == "--seconds":
            o["seconds"] = float(args.pop(0))
        elif a == "--only":
            o["only"] = args.pop(0)
            o["history"] = False
        elif a == "--systems":
            o["systems"] = args.pop(0).split(",")
            o["history"] = False
        elif a == "--data":
            o["data"] = args.pop(0)
        elif a == "--no-history":
            o["history"] = False
        elif a == "--redis-benchmark":
            o["redis_benchmark"] = True
        else:
            print(__doc__)
            sys.exit(2)
    return o


MAKERS = {"synod": Synod, "redis1": lambda f: Redis(f, 0), "redis3": lambda f: Redis(f, 2),
          "etcd3": Etcd}


def main(args):
    o = parse(args)
    os.makedirs(o["data"] or os.path.join(ROOT, "build"), exist_ok=True)
    # Beside the objects, not in /tmp: that may be memory, where fsync costs nothing.
    o["folder"] = tempfile.mkdtemp(prefix="bench-", dir=o["data"] or os.path.join(ROOT, "build"))
    systems, bench = {}, Bench(o)
    try:
        for name in o["systems"]:
            systems[name] = MAKERS[name](o["folder"])
        print("bench: %d rounds of %g s for each load and system" % (o["rounds"], o["seconds"]))
        for s in systems.values():  # warm, and something to read
            load_once(s, "set", 50, seconds=1.0)
            pipeline = 16 if s.proto == "resp" else 1
            load_once(s, "set", 50, pipeline, seconds=60,
                      extra=["--sequential", "--count", str(KEYS)])
        for i in range(o["rounds"]):
            bench.measure(systems, i)
            print("bench: round %d of %d" % (i + 1, o["rounds"]), flush=True)
        rss = {n: [round(rss_bytes(p) / 1e6) for p in s.pids()] for n, s in systems.items()}
    finally:
        for s in systems.values():
            s.stop()
        shutil.rmtree(o["folder"], ignore_errors=True)
    results, ratios = bench.summary(), bench.ratios()
    show(results, ratios, bench.sync, rss)
    if o["history"]:
        keep({"rounds": o["rounds"], "seconds": o["seconds"],
              "unit": {"per_s": "operations/s", "cpu_us": "server CPU us/operation"},
              "fdatasync_us": round(statistics.median(bench.sync)), "rss_mb": rss,
              "results": results, "ratios": ratios})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Failure as e:
        sys.exit("bench: %s" % e)
