"""What works when nothing is wrong."""
import os
import re
import shutil
import signal
import subprocess
import tempfile

from cluster import SYNOD, Cluster, Failure, expect, free_ports, wait_for
from resp import Conn, Err


def short(f):
    f.short = True
    return f


# Each family a little: request, wanted reply.
FAMILIES = [
    (("PING",), "PONG"),
    (("ECHO", "hi"), b"hi"),
    (("SET", "s", "1", "EX", "100"), "OK"),
    (("INCRBY", "s", "41"), 42),
    (("APPEND", "s", "x"), 3),
    (("GETRANGE", "s", "0", "1"), b"42"),
    (("STRLEN", "s"), 3),
    (("SETBIT", "bits", "7", "1"), 0),
    (("BITCOUNT", "bits"), 1),
    (("HSET", "h", "f", "v", "g", "w"), 2),
    (("HGET", "h", "g"), b"w"),
    (("HINCRBY", "h", "n", "5"), 5),
    (("HLEN", "h"), 3),
    (("TYPE", "h"), "hash"),
    (("PERSIST", "s"), 1),
    (("TTL", "s"), -1),
    (("EXPIRE", "s", "1000"), 1),
    (("EXISTS", "s", "h"), "CROSSSLOT"),
    (("MSET", "{t}a", "1", "{t}b", "2"), "OK"),
    (("EXISTS", "{t}a", "{t}b", "{t}none"), 2),
    (("MGET", "{t}a", "{t}b", "{t}c"), [b"1", b"2", None]),
    (("RENAME", "{t}a", "{t}c"), "OK"),
    (("DEL", "{t}b", "{t}c"), 2),
    (("CLUSTER", "KEYSLOT", "foo"), 12182),
    (("SELECT", "0"), "OK"),
    (("GET", "h"), "WRONGTYPE"),
    (("NOSUCH", "x"), "ERR"),
    (("GET",), "ERR"),
    (("MSET", "a", "1", "b", "2"), "CROSSSLOT"),
]


@short
def scenario_smoke():
    """Any node takes any command; every node sees what another took; RESP3"""
    with Cluster(3) as c:
        expect(c[1].call("SET", "a", "1") == "OK", "SET on node 1")
        expect(c[3].call("GET", "a") == b"1", "GET on node 3 does not see node 1's SET")
        for n in c.nodes:
            with n.conn() as conn:
                conn.call("FLUSHALL")
                for request, want in FAMILIES:
                    got = conn.call(*request)
                    same = got.kind == want if isinstance(got, Err) else got == want
                    expect(same, "node %d: %s gave %r, not %r" %
                           (n.number, " ".join(request), got, want))
        with c[2].conn() as conn:
            hello = conn.call("HELLO", "3")
            expect(isinstance(hello, dict) and hello.get(b"proto") == 3, "HELLO 3: %r" % hello)
            expect(conn.call("HGETALL", "h") == {b"f": b"v", b"g": b"w", b"n": b"5"},
                   "HGETALL is no map in RESP3")
        keys = [("key:%d" % i) for i in range(1000)]
        with c[1].conn() as conn:
            expect(set(conn.pipeline([("SET", k, k) for k in keys])) == {"OK"}, "pipelined SETs")
        with c[2].conn() as conn:
            got = conn.pipeline([("GET", k) for k in keys])
            expect(got == [k.encode() for k in keys], "pipelined GETs through another node")
            found, cursor = set(), b"0"
            while True:
                cursor, page = conn.call("SCAN", cursor, "MATCH", "key:*", "COUNT", "100")
                found.update(page)
                if cursor == b"0":
                    break
            expect(len(found) == 1000, "SCAN found %d of 1000 keys" % len(found))
            size = conn.call("DBSIZE")
            expect(size >= 1000, "DBSIZE says %r" % size)
        statuses = [n.stop() for n in c.nodes]
        expect(statuses == [0, 0, 0], "SIGTERM: exit statuses %r" % statuses)
    return "%d commands on each of 3 nodes" % len(FAMILIES)


@short
def scenario_demo():
    """synod demo: ready line, pid files, data over a restart, clean end on SIGTERM"""
    base = free_ports(3, peers=10000)
    folder = tempfile.mkdtemp(prefix="synod-e2e-")
    command = [SYNOD, "demo", "--nodes", "3", "--dir", folder, "--port", str(base)]
    try:
        for round_number in (1, 2):
            log = open(os.path.join(folder, "demo.log"), "w+")
            demo = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            try:
                def ready():
                    if demo.poll() is not None:
                        log.seek(0)
                        raise Failure("demo ended: %s" % log.read()[-300:])
                    log.seek(0)
                    return re.search(r"^ready\b.*$", log.read(), re.M)
                line = wait_for("the ready line", ready, 30).group(0)
                for k in (1, 2, 3):
                    with open(os.path.join(folder, "node%d" % k, "pid")) as f:
                        os.kill(int(f.read()), 0)
                if round_number == 1:
                    with Conn(("127.0.0.1", base)) as c:
                        expect(c.call("SET", "kept", "yes") == "OK", "SET on the demo")
                with Conn(("127.0.0.1", base + 2)) as c:
                    expect(c.call("GET", "kept") == b"yes", "round %d: data is gone" % round_number)
                demo.send_signal(signal.SIGTERM if round_number == 1 else signal.SIGINT)
                expect(demo.wait(20) == 0, "demo's exit status is %d" % demo.returncode)
            finally:
                if demo.poll() is None:
                    demo.terminate()
                    try:
                        demo.wait(10)
                    except subprocess.TimeoutExpired:
                        demo.kill()
                log.close()
        return line
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scenario_benchmark():
    """redis-benchmark with pipelining against each node, no error"""
    if shutil.which("redis-benchmark") is None:
        from run import Skip
        raise Skip("needs redis-benchmark")
    rates = []
    with Cluster(3) as c:
        for n in c.nodes:
            out = subprocess.run(
                ["redis-benchmark", "-p", str(n.client[1]), "-t", "set,get,incr,hset", "-n",
                 "200000", "-c", "50", "-P", "16", "-r", "100000", "--csv"],
                capture_output=True, text=True, timeout=300)
            expect(out.returncode == 0 and "rror" not in out.stdout + out.stderr,
                   "node %d: %s" % (n.number, (out.stdout + out.stderr)[-300:]))
            rows = re.findall(r'^"(\w+)[^"]*","([\d.]+)"', out.stdout, re.M)
            expect(len(rows) == 4, "node %d: %s" % (n.number, out.stdout[-300:]))
            rates.append(" ".join("%s %.0fk" % (name, float(r) / 1000) for name, r in rows))
    return "; ".join(rates)
