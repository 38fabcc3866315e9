"""The faults. Each is a generator: it hurts, yields the seconds until it wants to act again, and
heals when it is resumed the last time. What it returns says whether it was felt: a partition
that no packet ran into proves nothing.

`serves` says whether a majority remains that can talk, when the fault is alone: then writes must
go on meanwhile. `destroys`: one replica loses what it had promised; one such at a time.
"""
import errno
import os
import shutil
import subprocess
import time

from cluster import ROOT, folder_bytes, run
from stage import NoRoom, clients_of, peers

LOAD = os.path.join(ROOT, "build", "release", "bench", "load")
MIB = 1024 * 1024
ALL = {}


class Fault:
    def __init__(self, name, generator, serves, destroys, nodes):
        self.name, self.generator = name, generator
        self.serves, self.destroys, self.nodes = serves, destroys, nodes
        self.text = (generator.__doc__ or "").strip().split("\n")[0]


def fault(serves=True, destroys=False, nodes=3):
    """nodes: how many a cluster must have."""
    def keep(f):
        name = f.__name__.replace("_", "-")
        ALL[name] = Fault(name, f, serves, destroys, nodes)
        return f
    return keep


# --- processes ---

def killed(s, nodes, least=0.2, most=4.0):
    try:
        for n in nodes:
            s.kill(n)
        yield s.span(least, most)
        for n in nodes:
            s.start(n)
    finally:
        s.release("process", nodes)
    return True


@fault()
def kill_one(s):
    """kill -9 of one node"""
    return (yield from killed(s, s.pick("process")))


@fault()
def kill_leader(s):
    """kill -9 of the node that leads most"""
    return (yield from killed(s, s.pick("process", nodes=[s.leader()])))


@fault(nodes=5)
def kill_minority(s):
    """kill -9 of as many as may be missing"""
    return (yield from killed(s, s.pick("process", s.minority)))


@fault(serves=False)
def kill_majority(s):
    """kill -9 of one more than may be missing"""
    return (yield from killed(s, s.pick("process", s.minority + 1)))


@fault(serves=False)
def kill_all(s):
    """kill -9 of all at once"""
    return (yield from killed(s, s.pick("process", s.c.count), 0.0, 2.0))


@fault(serves=False)
def kill_storm(s):
    """kill -9 again and again, while nodes recover"""
    nodes = s.pick("process", s.c.count)
    try:
        for _ in range(s.rng.randint(5, 12)):
            n = s.rng.choice(nodes)
            if n.alive():
                s.kill(n)
            yield s.span(0.0, 0.3)
            for other in nodes:
                if not other.alive():
                    s.start(other)
            yield s.rng.choice((0.01, 0.05, 0.1, 0.3, 1.0)) * s.span(0.5, 1.5)
    finally:
        s.release("process", nodes)
    return True


@fault()
def kill_snapshot(s):
    """kill -9 of a node while it writes a snapshot, three times"""
    nodes = s.pick("process")
    n, felt = nodes[0], False
    generator = loaded(s, 20000, 2000)
    try:
        for _ in range(3):
            deadline = time.monotonic() + 3.0
            while time.monotonic() < deadline and not unfinished_files(n):
                yield 0.002
            felt = felt or bool(unfinished_files(n))
            s.kill(n)
            yield s.span(0.0, 0.5)
            s.start(n)
            yield s.span(0.2, 1.5)
    finally:
        unloaded(generator)
        s.release("process", nodes)
    return felt


def unfinished_files(n):
    return [os.path.join(folder, name) for folder, _, names in os.walk(n.dir) for name in names
            if name.endswith(".tmp")]


def loaded(s, count, size):
    """Writes that nobody records, on keys of their own: they fill logs and make snapshots."""
    targets = ",".join("%s:%d" % n.client for n in s.c.nodes)
    return subprocess.Popen([LOAD, "--target", targets, "--count", str(count), "--bytes", str(size),
                             "--keys", "300", "--clients", "4", "--pipeline", "4"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def unloaded(generator):
    generator.kill()
    generator.wait()


@fault()
def stop_one(s):
    """SIGTERM of one node: a clean stop, status 0, then a start"""
    nodes = s.pick("process")
    n = nodes[0]
    process, n.process = n.process, None  # its end is expected
    try:
        s.note("SIGTERM node %d" % n.number)
        process.terminate()
        deadline = time.monotonic() + 20.0
        while process.poll() is None and time.monotonic() < deadline:
            yield 0.02
        if process.poll() is None:
            s.found("node %d did not stop within 20 s of SIGTERM" % n.number)
            process.kill()
            process.wait()
        elif process.returncode != 0:
            s.found("node %d: status %d after SIGTERM" % (n.number, process.returncode))
        yield s.span(0.0, 2.0)
        s.start(n)
    finally:
        s.release("process", nodes)
    return True


def paused(s, nodes, seconds):
    try:
        s.note("SIGSTOP nodes %s" % [n.number for n in nodes])
        for n in nodes:
            n.pause()
        yield seconds
    finally:
        for n in nodes:
            if n.process is not None:
                n.resume()
        s.note("SIGCONT nodes %s" % [n.number for n in nodes])
        s.release("process", nodes)
    return True


@fault()
def pause_leader(s):
    """SIGSTOP of the node that leads most, past its lease, then SIGCONT"""
    return (yield from paused(s, s.pick("process", nodes=[s.leader()]), s.span(0.7, 6.0)))


@fault()
def pause_one(s):
    """SIGSTOP of any node"""
    return (yield from paused(s, s.pick("process"), s.span(0.1, 6.0)))


@fault(serves=False)
def pause_all(s):
    """SIGSTOP of all: every lease runs out at once"""
    return (yield from paused(s, s.pick("process", s.c.count), s.span(0.3, 3.0)))


@fault()
def pause_flicker(s):
    """SIGSTOP and SIGCONT of one node in turn, for times about its lease"""
    nodes = s.pick("process")
    n = nodes[0]
    try:
        for _ in range(s.rng.randint(4, 10)):
            n.pause()
            yield s.span(0.1, 0.7)
            n.resume()
            yield s.span(0.02, 0.4)
    finally:
        if n.process is not None:
            n.resume()
        s.release("process", nodes)
    return True


@fault()
def host_lost(s):
    """A node and its address vanish without a word; later the host is back"""
    nodes = s.pick("process")
    try:
        s.claim("net", s.c.nodes)
        try:
            mine = [(nodes[0].number, k) for k in range(s.c.count + 1) if k != nodes[0].number]
            s.cut(mine)
            s.kill(nodes[0])
            yield s.span(2.0, 6.0)
            s.heal(mine)
            s.start(nodes[0])
        finally:
            s.release("net", s.c.nodes)
    finally:
        s.release("process", nodes)
    return True


# --- networks ---

def network(s, pairs, how="drop", both=True, least=1.0, most=6.0):
    """Ways are bad for a while. Felt: packets ran into it."""
    s.claim("net", s.c.nodes)
    try:
        before = s.c.box.stats()
        s.cut(pairs, how, both)
        yield s.span(least, most)
        after = s.c.box.stats()
        s.heal(pairs, both)
    finally:
        s.release("net", s.c.nodes)
    return any(after[k] > before[k] for k in after if k != "passed")


def crossing(s, some):
    """The ways between some and the others."""
    return [(a, b) for a, b in peers(s.c) if (a in some) != (b in some)]


@fault()
def net_split(s):
    """A minority of nodes and the majority do not hear each other; clients reach all"""
    some = s.rng.sample(range(1, s.c.count + 1), s.rng.randint(1, s.minority))
    return (yield from network(s, crossing(s, some)))


@fault()
def net_leader(s):
    """The node that leads most is cut off from its peers, not from its clients"""
    return (yield from network(s, crossing(s, [s.leader().number])))


@fault(serves=False)
def net_apart(s):
    """No node hears any other"""
    return (yield from network(s, peers(s.c)))


@fault()
def net_one_way(s):
    """One node is not heard by another, or by all (mute), or hears none (deaf)"""
    n = s.rng.choice(s.c.nodes).number
    others = [m.number for m in s.c.nodes if m.number != n]
    pairs = s.rng.choice(([(n, s.rng.choice(others))], [(n, m) for m in others],
                          [(m, n) for m in others]))
    return (yield from network(s, pairs, both=False))


@fault(serves=False)
def net_ring(s):
    """A ring: each node hears those next to it on one side only"""
    order = s.rng.sample(range(1, s.c.count + 1), s.c.count)
    deaf = [(order[i], order[(i + k) % s.c.count]) for i in range(s.c.count)
            for k in range(1, s.c.count // 2 + 1)]
    return (yield from network(s, deaf, both=False))


@fault()
def net_bridge(s):
    """Two halves that hear each other only through one node in the middle"""
    order = s.rng.sample(range(1, s.c.count + 1), s.c.count)
    half = (s.c.count - 1) // 2
    left, right = order[1:1 + half], order[1 + half:]
    return (yield from network(s, [(a, b) for a in left for b in right]))


@fault()
def net_flaky(s):
    """Packets between nodes are lost, doubled, late and out of order"""
    how = "loss %d twice %d delay %d jitter %d" % (
        s.rng.randint(5, 80), s.rng.randint(0, 80), s.rng.randint(100, 5000),
        s.rng.randint(1000, 20000))
    return (yield from network(s, peers(s.c), how, least=2.0))


@fault()
def net_slow(s):
    """One node is far away: 10 to 150 ms each way"""
    n = s.rng.choice(s.c.nodes).number
    pairs = [(n, m.number) for m in s.c.nodes if m.number != n]
    return (yield from network(s, pairs, "delay %d jitter 2000" % s.rng.randint(10000, 150000),
                               least=2.0))


@fault()
def net_half_open(s):
    """The connections of one node to the others are dead without a word; new ones work"""
    n = s.rng.choice(s.c.nodes).number
    return (yield from network(s, crossing(s, [n]), "stale", least=4.0))


@fault()
def net_clients(s):
    """The clients of one node are cut off, or their connections die without a word"""
    n = s.rng.choice(s.c.nodes)
    return (yield from network(s, clients_of(n), s.rng.choice(("drop", "stale")), least=2.0))


# --- disks ---

@fault()
def disk_slow(s):
    """Every write of one node takes 5 to 80 ms longer"""
    return (yield from shimmed(s, s.pick("disk"), write_us=s.rng.randint(5000, 80000),
                               sync_us=s.rng.randint(5000, 80000)))


@fault()
def disk_stall(s):
    """A write of one node takes seconds"""
    return (yield from shimmed(s, s.pick("disk"), write_us=s.rng.randint(1000000, 4000000)))


def shimmed(s, nodes, **fields):
    shim = s.c.shim(nodes[0])
    before = shim.get("slowed") + shim.get("failed")
    s.note("disk of node %d: %s" % (nodes[0].number, fields))
    try:
        shim.set(**fields)
        yield s.span(1.5, 5.0)
    finally:
        shim.set(**{k: 0 for k in fields})
        s.release("disk", nodes)
    return shim.get("slowed") + shim.get("failed") > before


@fault()
def disk_error(s):
    """EIO: the node gives up with a sentence, and starts again on a good disk"""
    nodes = s.pick("disk")
    n = nodes[0]
    try:
        s.claim("process", nodes)
    except NoRoom:
        s.release("disk", nodes)
        raise
    pid = n.pid
    try:
        s.may_die[n.number] = "EIO"
        s.note("EIO at node %d" % n.number)
        # Writes alone fail, or they and syncs: a sync alone may not come for long.
        s.c.shim(n).set(write_errno=errno.EIO, sync_errno=s.rng.choice((0, errno.EIO)))
        deadline = time.monotonic() + 10.0
        while n.alive() and n.pid == pid and time.monotonic() < deadline:
            yield 0.02
        felt = not n.alive()
        if not felt:
            s.found("node %d goes on 10 s after all its writes failed" % n.number)
            n.kill()
        s.supervise()
        yield s.span(0.0, 1.0)
        s.c.shim(n).set(write_errno=0, sync_errno=0)
        s.may_die.pop(n.number)
        n.process = None
        s.start(n)
    finally:
        s.c.shim(n).set(write_errno=0, sync_errno=0)
        s.may_die.pop(n.number, None)
        s.release("process", nodes)
        s.release("disk", nodes)
    return felt


@fault()
def disk_full(s):
    """The disk of one node is full for a while, under many writes"""
    return (yield from full(s, s.pick("disk")))


@fault(serves=False)
def disk_full_all(s):
    """All disks are full for a while: writes are refused, typed, and come back"""
    return (yield from full(s, s.pick("disk", s.c.count)))


def full(s, nodes):
    generator = loaded(s, 60000, 8000)
    felt = False
    try:
        for n in nodes:
            s.may_die[n.number] = "a full disk"  # only while it starts
            s.note("disk of node %d is full" % n.number)
            shrink(s, n)
        for _ in range(int(s.span(5, 10) * 10)):
            yield 0.1
            felt = felt or any("log_full:1" in (s.ask(n, "INFO", "persistence") or "")
                               for n in nodes)
            if generator.poll() is not None and not felt:
                generator = loaded(s, 60000, 8000)
    finally:
        unloaded(generator)
        for n in nodes:
            grow(s, n)
            s.may_die.pop(n.number, None)
        s.note("space returned")
        s.release("disk", nodes)
    return felt


def shrink(s, n):
    """No more room than what is used now, or a little: it may grow while we look."""
    if s.c.disk_mib:
        spare = 512
        while run("mount", "-o", "remount,size=%dk" % (folder_bytes(n.dir) // 1024 + spare), n.dir,
                  check=False).returncode != 0:
            spare *= 4
    else:
        s.c.shim(n).set(write_errno=errno.ENOSPC, allocate_errno=errno.ENOSPC)


def grow(s, n):
    if s.c.disk_mib:
        run("mount", "-o", "remount,size=%dm" % s.c.disk_mib, n.dir)
    else:
        s.c.shim(n).set(write_errno=0, allocate_errno=0)


def emptied(folder):
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def stopped(s):
    """One node that this fault alone has, killed."""
    nodes = s.pick("process")
    try:
        s.claim("disk", nodes)
    except NoRoom:
        s.release("process", nodes)
        raise
    s.kill(nodes[0])
    return nodes


def given_back(s, nodes):
    s.release("process", nodes)
    s.release("disk", nodes)


@fault(destroys=True)
def disk_lost(s):
    """A node's directory is emptied; it comes back with --join"""
    nodes = stopped(s)
    n = nodes[0]
    try:
        emptied(n.dir)
        s.note("directory of node %d emptied" % n.number)
        yield s.span(0.2, 2.0)
        n.start_args = ["--join", ",".join("%s:%d" % m.peer for m in s.c.nodes if m is not n)]
        s.start(n)
    finally:
        given_back(s, nodes)
    return True


@fault(destroys=True)
def disk_flip(s):
    """One bit of the used part of a stopped node's log is flipped"""
    nodes = stopped(s)
    n = nodes[0]
    try:
        path = log_file(n, used_bytes)
        at = s.rng.randrange(used_bytes(path))
        with open(path, "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1 << s.rng.randrange(8)]))
        s.note("node %d: a bit of byte %d of %s flipped" % (n.number, at, os.path.basename(path)))
        before = len(n.log())
        yield s.span(0.0, 1.0)
        s.start(n)
        yield 3.0
    finally:
        given_back(s, nodes)
    said = n.log()[before:]
    return any("damaged_places=" in x and "damaged_places=0" not in x for x in said.split("\n"))


def log_file(n, most):
    """The file of a stopped node's log of which `most` says the largest number."""
    folder = os.path.join(n.dir, "log")
    return max((os.path.join(folder, x) for x in os.listdir(folder)), key=most)


def used_bytes(path):
    """Where the written part of a preallocated file ends."""
    with open(path, "rb") as f:
        return len(f.read().rstrip(b"\0"))


@fault()
def disk_torn(s):
    """Half of a record that was being written lies behind the end of a stopped node's log"""
    nodes = stopped(s)
    n = nodes[0]
    try:
        path = log_file(n, os.path.getmtime)
        with open(path, "r+b") as f:
            f.seek((used_bytes(path) + 4095) // 4096 * 4096)
            f.write(b"SYNB" + s.rng.randbytes(s.rng.randint(1, 9000)))
        yield s.span(0.0, 1.0)
        s.start(n)
    finally:
        given_back(s, nodes)
    return True


@fault(destroys=True)
def disk_old(s):
    """An old image of a stopped node's directory is put back: votes and entries forgotten"""
    nodes = stopped(s)
    n = nodes[0]
    image = os.path.join(s.c.folder, "image")
    try:
        copy(n.dir, image)
        s.start(n)
        yield s.span(3.0, 8.0)
        s.kill(n)
        emptied(n.dir)
        copy(image, n.dir)
        s.note("old image of node %d put back" % n.number)
        yield s.span(0.0, 1.0)
        s.start(n)
    finally:
        shutil.rmtree(image, ignore_errors=True)
        given_back(s, nodes)
    return True


def copy(from_dir, to_dir):
    os.makedirs(to_dir, exist_ok=True)
    run("cp", "-a", "--sparse=always", from_dir + "/.", to_dir)


# --- clocks ---

@fault()
def clock_jump(s):
    """The wall clock of one node jumps, forwards or backwards, and is put right later"""
    nodes = s.pick("clock")
    try:
        s.set_wall(nodes[0], s.rng.choice((-1, 1)) *
                   s.rng.choice((50, 500, 5000, 30000, 600000, 86400000)) * 1000000)
        yield s.span(1.0, 6.0)
    finally:
        s.set_wall(nodes[0], 0)
        s.release("clock", nodes)
    return True


@fault()
def clock_strobe(s):
    """The wall clock of one node jumps to and fro"""
    nodes = s.pick("clock")
    try:
        for _ in range(s.rng.randint(10, 30)):
            s.set_wall(nodes[0], s.rng.randint(-3000, 3000) * 1000000)
            yield s.span(0.01, 0.3)
    finally:
        s.set_wall(nodes[0], 0)
        s.release("clock", nodes)
    return True

