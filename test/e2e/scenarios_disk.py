"""Logs and disks: lag, bounded use, restart, full, damaged, from the future."""
import ctypes
import os
import shutil
import struct
import subprocess
import tempfile
import time

from cluster import ROOT, Cluster, Failure, expect, folder_bytes, free_ports, run, wait_for
from resp import Closed, Conn, Err
from scenarios_faults import heal_and_verify, other_two_suffice, wait_voter, wait_writable
from writer import Writer

MIB = 1024 * 1024
BLOCK = 4096  # of the log [docs/format/wal.md]
LOAD = os.environ.get("LOAD", os.path.join(ROOT, "build", "release", "bench", "load"))


def load_command(nodes, *args):
    target = ",".join("%s:%d" % n.client for n in nodes)
    return [LOAD, "--target", target] + [str(a) for a in args]


def load(nodes, *args, timeout=600, refusals=0):
    """Runs the load generator to its end; its JSON as a dict. refusals: so many typed answers
    that something did not happen are allowed."""
    import json
    out = subprocess.run(load_command(nodes, *args), capture_output=True, text=True,
                         timeout=timeout)
    expect(out.stdout, "load: %s" % out.stderr.strip())
    got = json.loads(out.stdout)
    typed = got["first_error"].startswith(("-TRYAGAIN", "-CLUSTERDOWN"))
    expect(got["errors"] <= (refusals if typed else 0), "load: %d errors, first: %s" %
           (got["errors"], got["first_error"]))
    return got


def groups(node):
    """{partition: {"applied": N, "commit": N, ...}} of SYNOD GROUPS."""
    found = {}
    for line in node.call("SYNOD", "GROUPS").decode().strip().split("\n"):
        words = line.split()
        at = words.index("term")
        found[int(words[0])] = {k: int(v) for k, v in zip(words[at::2], words[at + 1::2])}
    return found


def scenario_lag():
    """A follower that lags past the log is caught up by snapshots while load goes on"""
    with Cluster(3) as c, Writer(c.nodes[:2], pace=0.01) as w:
        w.wait_acks(100)
        lost = c[3]
        lost.kill()
        wait_writable(c.nodes[:2], lost)
        wrote = load(c.nodes[:2], "--count", 200000, "--bytes", 4000, "--keys", 20000, "--pipeline",
                     8)
        generator = subprocess.Popen(
            load_command(c.nodes[:2], "--seconds", 60, "--bytes", 1000, "--keys", 20000,
                         "--clients", 10), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            # There, all that was committed when it came back, whoever led.
            ahead = [groups(n) for n in c.nodes[:2]]
            target = {p: max(g[p]["commit"] for g in ahead) for p in ahead[0]}
            started = time.monotonic()
            lost.start()
            c.wait_ready([lost], 60)
            serves = time.monotonic() - started

            def there():
                now = groups(lost)
                return len(now) == len(target) and \
                    all(now[p]["applied"] >= n for p, n in target.items())
            wait_for("node 3 holds what was committed before it came back", there, 120, 0.05)
            took = time.monotonic() - started
            expect(generator.poll() is None, "the load ended before the follower was there")
            installed = int(lost.info()["snapshots_installed"])
            expect(installed > 0, "no snapshot was needed: it did not lag past the log")
        finally:
            generator.kill()
            generator.wait()
        other_two_suffice(c, lost)
        said = heal_and_verify(c, w)
        size = max(folder_bytes(n.dir) for n in c.nodes)
    return "%d MiB behind: served after %.1f s, caught up after %.1f s under load, %d of %d " \
        "partitions by snapshot; disk %d MiB; %s" % (
            wrote["ops"] * 4000 // MIB, serves, took, installed, len(target), size // MIB, said)


# Per node: what the log must keep, summed over the partitions, stays at 256 MiB. Snapshots go
# round, so the partition whose turn is next keeps twice the average: the log reaches back
# 512 MiB. One segment of 32 MiB is open, two are spare, two more are kept, and while the
# partitions that hold the oldest segment are written some more fill up, here up to six.
# Snapshots of 100 keys are nothing.
BOUND = (2 * 256 + (1 + 2 + 2 + 6) * 32) * MIB


def scenario_bounded():
    """100 keys overwritten COUNT (5 million) times: disk use stays bounded"""
    count = int(os.environ.get("COUNT", 5000000))
    with Cluster(3) as c:
        generator = subprocess.Popen(
            load_command(c.nodes, "--count", count, "--keys", 100, "--pipeline", 64),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        peak = 0
        while generator.poll() is None:
            peak = max([peak] + [folder_bytes(n.dir) for n in c.nodes])
            time.sleep(0.5)
        import json
        got = json.loads(generator.stdout.read() or "{}")
        expect(got.get("errors") == 0, "load: %s" % got)
        end = max(folder_bytes(n.dir) for n in c.nodes)
        expect(c[3].call("DBSIZE") <= 102, "DBSIZE is %s" % c[3].call("DBSIZE"))
    written = count * 130
    said = "%d overwrites (%d MiB of records), %.0f/s: at most %d MiB per node of %d allowed, " \
        "%d at the end" % (count, written // MIB, got["per_s"], peak // MIB, BOUND // MIB,
                           end // MIB)
    expect(peak <= BOUND, said)
    return said


def redis_rss(keys):
    """RSS of redis-server with the same keys, or 0 where there is none."""
    if shutil.which("redis-server") is None:
        return 0
    port = free_ports(1)
    p = subprocess.Popen(["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        class Fake:
            client = ("127.0.0.1", port)
        wait_for("redis-server", lambda: Conn(Fake.client).call("PING") == "PONG", 10)
        load([Fake], "--count", keys, "--keys", keys, "--sequential", "--pipeline", 64)
        with open("/proc/%d/status" % p.pid) as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))
    finally:
        p.kill()
        p.wait()


def scenario_million():
    """Restart with 1M keys of 100 bytes: time to ready; memory beside redis-server"""
    keys = int(os.environ.get("COUNT", 1000000))
    with Cluster(3) as c:
        load(c.nodes[:1], "--count", keys, "--keys", keys, "--sequential", "--pipeline", 64)
        time.sleep(1)
        rss = [n.status("VmRSS") for n in c.nodes]
        times, after = [], []
        for how in ("kill", "stop"):
            for n in c.nodes:
                n.kill() if how == "kill" else n.stop()
            started = time.monotonic()
            for n in c.nodes:
                n.start()
            c.wait_ready(timeout=120)
            times.append(time.monotonic() - started)
            size = c[2].call("DBSIZE", timeout=30)
            expect(keys <= size <= keys + 1, "after %s: DBSIZE is %s" % (how, size))
            after += [n.status("VmRSS") for n in c.nodes]
    theirs = redis_rss(keys)
    said = "ready in %.2f s after kill -9, %.2f s after a stop; RSS %s MB, after restart %s MB, " \
           "redis-server %d MB" % (times[0], times[1], "/".join("%d" % (r / 1e6) for r in rss),
                                   "/".join("%d" % (r / 1e6) for r in after), theirs / 1e6)
    expect(not theirs or max(rss + after) <= theirs, said)
    return said


def mount_tmpfs(path, megabytes):
    os.makedirs(path, exist_ok=True)
    if os.geteuid() != 0 or run("mount", "-t", "tmpfs", "-o", "size=%dm" % megabytes, "tmpfs", path,
                                check=False).returncode != 0:
        from run import Skip
        raise Skip("needs root and tmpfs")


def fill(path):
    """Take all that is left of the file system."""
    with open(path, "wb", buffering=0) as f:
        piece = MIB
        while piece >= 4096:
            try:
                f.write(b"\0" * piece)
            except OSError:
                piece //= 2


def scenario_full_disk():
    """A full disk: read-only with a clear error, and writable again when space returns"""
    folder = tempfile.mkdtemp(prefix="synod-e2e-")
    try:
        mount_tmpfs(os.path.join(folder, "node1"), 600)
        with Cluster(1, folder=folder) as c:
            n = c[1]
            pid = n.pid
            expect(n.call("SET", "before", "1") == "OK", "a first write")
            filler = os.path.join(n.dir, "filler")
            fill(filler)
            acked, error, started = 0, None, time.monotonic()
            with n.conn(30) as conn:
                while error is None and time.monotonic() - started < 60:
                    for i, r in enumerate(conn.pipeline(
                            [("SET", "full:%d" % (acked + i), b"x" * 4000) for i in range(50)])):
                        if isinstance(r, Err):
                            error = error or r
                        elif error is None:
                            acked += 1
            expect(error is not None, "%d writes and no error on a full disk" % acked)
            expect(n.alive() and n.pid == pid, "the node died of a full disk: %s" %
                   n.log().strip().split("\n")[-1])
            expect(n.call("GET", "before") == b"1", "it no longer reads")
            os.unlink(filler)
            wait_for("writes after space returned", lambda: n.call("SET", "after", "1") == "OK", 30)
            n.kill()
            n.start()
            c.wait_ready()
            lost = 0
            with n.conn(30) as conn:
                for i in range(0, acked, 100):
                    got = conn.pipeline([("EXISTS", "full:%d" % k)
                                         for k in range(i, min(acked, i + 100))])
                    lost += got.count(0)
            expect(lost == 0, "%d of %d acknowledged writes are lost" % (lost, acked))
            expect(n.call("GET", "after") == b"1", "the write after is lost")
        return "%d writes, then: %s; recovered, nothing lost" % (acked, error)
    finally:
        run("umount", os.path.join(folder, "node1"), check=False)
        shutil.rmtree(folder, ignore_errors=True)


def scenario_full_one():
    """One of three disks is full: the cluster goes on, and the node comes back by itself"""
    folder = tempfile.mkdtemp(prefix="synod-e2e-")
    try:
        mount_tmpfs(os.path.join(folder, "node1"), 600)
        with Cluster(3, folder=folder) as c, Writer(c.nodes, pace=0.002) as w:
            w.wait_acks(100)
            filler = os.path.join(c[1].dir, "filler")
            fill(filler)
            # The two others can take every write: not one may be refused for want of space. With
            # one of three out, an fsync of the other that takes longer than an election is an
            # election: what the old leader had not sent yet is then refused, typed.
            got = load(c.nodes[1:], "--count", 40000, "--bytes", 8000, "--keys", 5000,
                       refusals=40)
            refused = w.errors.get("MISCONF", 0)
            expect(refused == 0, "%d writers' requests were refused as if all were full" % refused)
            w.wait_acks(100)
            expect(c[1].alive(), "the node with the full disk died")
            expect(c[1].info().get("log_full") == "1", "node 1's log had space all the time")
            os.unlink(filler)
            w.wait_acks(100)
            wait_voter(c, c[1], 120)
            other_two_suffice(c, c[1])
            return "none of 40000 refused for want of space, %d by elections; writers saw %s; %s" \
                % (got["errors"], w.errors or "no error", heal_and_verify(c, w))
    finally:
        run("umount", os.path.join(folder, "node1"), check=False)
        shutil.rmtree(folder, ignore_errors=True)


def log_files(node):
    folder = os.path.join(node.dir, "log")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def used_bytes(path):
    """Where the written part of a preallocated file ends."""
    with open(path, "rb") as f:
        return len(f.read().rstrip(b"\0"))


def scenario_bit_flip():
    """A bit flipped in the middle of the log: noticed, never cut silently, rebuilt"""
    with Cluster(3) as c, Writer(c.nodes) as w:
        w.wait_acks(2000)
        hurt = c[2]
        hurt.kill()
        path = max(log_files(hurt), key=used_bytes)
        with open(path, "r+b") as f:
            data = f.read()
            # In the middle, and in a record: the padding between batches is nobody's.
            at = data.index(b"v" * 64, used_bytes(path) // 2) + 8
            f.seek(at)
            f.write(bytes([data[at] ^ 0x10]))
        size = len(hurt.log())
        hurt.start()
        try:
            c.wait_ready(timeout=40)
        except Failure as e:
            raise Failure("after the flip at %d of %s: %s" % (at, os.path.basename(path), e))
        said_log = hurt.log()[size:]
        lines = [x for x in said_log.split("\n") if "damaged_places=" in x and
                 "damaged_places=0" not in x]
        expect(lines, "the damage at byte %d of %s is not in the log" % (at, path))
        wait_voter(c, hurt, 60)
        other_two_suffice(c, hurt)
        said = heal_and_verify(c, w)
    return "%s; it said: %s" % (said, lines[0][-160:])


def scenario_torn_tail():
    """A torn last record is cut; the node starts and loses nothing of the cluster's"""
    with Cluster(3) as c, Writer(c.nodes) as w:
        w.wait_acks(500)
        hurt = c[2]
        hurt.kill()
        path = max(log_files(hurt), key=os.path.getmtime)
        end = -(-used_bytes(path) // BLOCK) * BLOCK  # the last record may end with zeros
        with open(path, "r+b") as f:
            f.seek(end)
            f.write(os.urandom(100))  # half of a batch that was being written
        hurt.start()
        c.wait_ready()
        other_two_suffice(c, hurt)
        return heal_and_verify(c, w)


def of_future(header):
    """A segment header [docs/format/wal.md] with a version far ahead, checksum and all."""
    xxhash = ctypes.CDLL("libxxhash.so.0")  # the server needs it, so it is there
    xxhash.XXH3_64bits.restype = ctypes.c_uint64
    body = struct.pack("<I", 999) + header[20:64]
    return header[:8] + struct.pack("<Q", xxhash.XXH3_64bits(body, ctypes.c_size_t(48))) + body


def scenario_future():
    """A log of a future version is refused by name and left untouched"""
    with Cluster(1) as c:
        n = c[1]
        n.call("SET", "a", "1")
        n.stop()
        path = next(p for p in log_files(n) if used_bytes(p) > 0)
        with open(path, "rb") as f:
            original = f.read(64)
        with open(path, "r+b") as f:
            f.write(of_future(original))
        n.start()
        status = n.wait_exit(15)
        said = n.log().strip().split("\n")[-1]
        expect(status > 0, "exit status %d: %s" % (status, said))
        expect("version" in said.lower(), "the error does not say version: %s" % said)
        with open(path, "r+b") as f:
            f.write(original)
        n.start()
        c.wait_ready()
        expect(n.call("GET", "a") == b"1", "the refused start changed the data")
    return said[-200:]
