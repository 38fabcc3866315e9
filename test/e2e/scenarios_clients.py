"""Clients that misbehave: each is contained, the others notice nothing."""
import resource
import socket
import time

from cluster import Cluster, expect
from resp import Closed, Conn, Err, encode
from scenarios_basic import short

MIB = 1024 * 1024

# Bytes, and what the answer must contain. After a protocol error the connection ends.
MALFORMED = [
    ("a length that is no number", b"*1\r\n$x\r\n", b"-ERR Protocol error"),
    ("a bulk above 512 MiB", b"*2\r\n$3\r\nGET\r\n$536870913\r\n", b"-ERR Protocol error"),
    ("more than 1 Mi arguments", b"*1048577\r\n", b"-ERR Protocol error"),
    ("an argument that is no bulk", b"*1\r\n:5\r\n", b"-ERR Protocol error"),
    ("a negative bulk", b"*1\r\n$-5\r\n", b"-ERR Protocol error"),
    ("a nested array", b"*1\r\n*1\r\n$4\r\nPING\r\n", b"-ERR Protocol error"),
    ("an inline command without end", b"x" * (70 * 1024), b"-ERR Protocol error"),
    ("unbalanced quotes", b'SET "a b\r\n', b"-ERR Protocol error"),
    ("a huge length", b"*99999999999999999999\r\n", b"-ERR Protocol error"),
    ("bytes of another protocol", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 3 + b"\r\n",
     b"-ERR"),
    ("a web request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"-ERR"),
]


def answer_to(addr, data):
    with socket.create_connection(addr, 5) as s:
        got = b""
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while len(got) < 10000:
                piece = s.recv(4096)
                if not piece:
                    break
                got += piece
        except OSError:
            pass
        return got


@short
def scenario_malformed():
    """Malformed and oversized RESP: a clear error, the node goes on"""
    with Cluster(1) as c:
        n = c[1]
        pid = n.pid
        for name, data, want in MALFORMED:
            got = answer_to(n.client, data)
            expect(want in got, "%s: answered %r" % (name, got[:100]))
            expect(n.alive() and n.pid == pid, "%s killed the node" % name)
        # Every way of cutting a good request is still that request.
        data = encode("SET", "cut", "value") + encode("GET", "cut")
        for at in range(1, len(data)):
            with Conn(n.client) as conn:
                conn.send(data[:at])
                time.sleep(0.0005)
                conn.send(data[at:])
                got = [conn.read(), conn.read()]
                expect(got == ["OK", b"value"], "cut at %d: %r" % (at, got))
        # And a half request followed by nothing holds nobody up.
        half = [Conn(n.client) for _ in range(50)]
        for conn in half:
            conn.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000000\r\nhalf")
        expect(n.call("PING") == "PONG", "held up by half requests")
        for conn in half:
            conn.close()
        big = b"b" * (8 * MIB)
        expect(n.call("SET", "big", big, timeout=20) == "OK", "an 8 MiB value")
        expect(n.call("GET", "big", timeout=20) == big, "an 8 MiB value comes back different")
    return "%d kinds of nonsense, %d cuts" % (len(MALFORMED), len(data) - 1)


def raise_files(want):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < want:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (want, want))
            return
        except (ValueError, OSError):
            from run import Skip
            raise Skip("needs %d open files, the limit is %d" % (want, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))


def latency_ms(conn, count=200):
    took = []
    for i in range(count):
        at = time.monotonic()
        reply = conn.call("SET", "latency", i)
        took.append((time.monotonic() - at) * 1000)
        expect(reply == "OK", "a write beside them: %r" % reply)
    took.sort()
    return took[len(took) // 2], took[-1]


def scenario_idle():
    """10,000 idle connections on one node: contained, cheap, others unharmed"""
    raise_files(12000)
    with Cluster(3) as c:
        n = c[1]
        worker = n.conn()
        before_ms, _ = latency_ms(worker)
        rss = n.status("VmRSS")
        idle = []
        for i in range(9990):
            try:
                idle.append(Conn(n.client))
            except Closed as e:
                raise AssertionError("connection %d: %s" % (i, e))
        for conn in idle[::500]:
            expect(conn.call("PING") == "PONG", "an idle connection does not answer")
        rss = (n.status("VmRSS") - rss) / len(idle)
        after_ms, worst_ms = latency_ms(worker)
        over, refused = [], ""
        for _ in range(20):  # now pass the limit of 10,000
            try:
                conn = Conn(n.client)
                over.append(conn)
                reply = conn.call("PING")
                if isinstance(reply, Err):
                    refused = reply
            except Closed as e:
                refused = refused or str(e)
        expect(refused, "more than maxclients were let in")
        expect(worker.call("PING") == "PONG", "the working client was hurt")
        for conn in idle + over:
            conn.close()
    return "%d idle cost %.1f KB each; a write beside them %.2f ms, before %.2f; beyond: %s" % (
        len(idle), rss / 1024, after_ms, before_ms, refused)


def scenario_never_reads():
    """A client that never reads its answers is held or cut off; others are not harmed"""
    with Cluster(3) as c:
        time.sleep(3)  # leaders move to their places at first
        leader = c.leader_of("fat")
        other = next(n for n in c.nodes if n is not leader)
        expect(leader.call("SET", "fat", b"f" * MIB) == "OK", "a value of 1 MiB")
        said = ["%s: %s" % (name, never_read(c, n))
                for name, n in (("at the leader", leader), ("through another", other))]
        expect(c[2].call("GET", "fat") == b"f" * MIB, "the value changed")
    return "; ".join(said)


def never_read(c, n):
    """Four clients ask node n for 1 MiB again and again, for 8 s."""
    worker = n.conn()
    rss = [m.status("VmRSS") for m in c.nodes]
    greedy = [socket.create_connection(n.client, 5) for _ in range(4)]
    for s in greedy:
        s.setblocking(False)
    request, sent, cut, ours, worst = encode("GET", "fat") * 100, 0, 0, 0, 0.0
    peak = list(rss)
    taken = int(n.info()["total_commands_processed"])
    alive, deadline = list(greedy), time.monotonic() + 8
    while time.monotonic() < deadline and alive:
        for s in list(alive):
            try:
                sent += s.send(request)
            except BlockingIOError:
                pass
            except OSError:
                alive.remove(s)
                cut += 1
        worst = max(worst, latency_ms(worker, 5)[1])
        ours += 5
        peak = [max(a, m.status("VmRSS")) for a, m in zip(peak, c.nodes)]
    # Most requests lie in the buffers of the kernel: what counts is what the node took.
    taken = int(n.info()["total_commands_processed"]) - taken - ours - 1
    for s in greedy:
        s.close()
    worker.close()
    grown = max(a - b for a, b in zip(peak, rss)) / MIB
    expect(all(m.alive() for m in c.nodes), "a node died")
    expect(grown < 600, "%d MiB of answers were piled up" % grown)
    expect(worst < 2000, "a write beside it took %.0f ms" % worst)
    return "%d requests for 1 MiB written, %d taken, a node grew by %d MiB, %d of 4 cut off, " \
        "worst write beside %.0f ms" % (sent // len(encode("GET", "fat")), taken, grown, cut, worst)
