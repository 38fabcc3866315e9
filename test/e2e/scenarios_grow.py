"""A cluster that grows from one node to five and shrinks again, live, under plain and cluster
clients that know what they were promised."""
import threading
import time

from cluster import SYNOD, Cluster, Failure, expect, run, wait_for
from resp import Closed, Err
from writer import Writer

PARTITIONS = 64
WANTED = 3  # replicas
MOVE_S = 120.0


class Timed(threading.Thread):
    """One write after another through one node after another; how long each took."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes = nodes  # the caller's list: those that are members now
        self.took = []      # (when, seconds)
        self.over = threading.Event()

    def run(self):
        i = 0
        while not self.over.is_set():
            i += 1
            n = self.nodes[i % len(self.nodes)]
            began = time.monotonic()
            try:
                n.call("SET", "timed:%d" % (i % 1000), str(i))
            except Closed:
                pass
            self.took.append((began, time.monotonic() - began))

    def p99(self, since):
        taken = sorted(t for when, t in self.took if when >= since)
        return taken[len(taken) * 99 // 100] if taken else 0.0


class ClusterClient(threading.Thread):
    """An application with redis-py's cluster client, which follows MOVED and CLUSTER SLOTS; an
    error that it shows to the application is a finding."""

    def __init__(self, node):
        super().__init__(daemon=True)
        from redis.cluster import RedisCluster
        self.client = RedisCluster(host=node.client[0], port=node.client[1], socket_timeout=8)
        self.over = threading.Event()
        self.count = {}
        self.wrong = []

    def run(self):
        i = 0
        while not self.over.is_set():
            i += 1
            key = "cc:%d" % (i % 500)
            try:
                got = self.client.incr(key)
            except Exception as e:  # any: the application sees it
                self.wrong.append("incr %s: %r" % (key, e))
                self.count.pop(key, None)
                continue
            want = self.count.get(key, 0) + 1 if key in self.count or i <= 500 else None
            if want is not None and got != want:
                self.wrong.append("incr %s gave %d instead of %d" % (key, got, want))
            self.count[key] = got


def cluster_client(node):
    try:
        return ClusterClient(node)
    except ImportError:
        from run import Skip
        raise Skip("needs python3-redis")


def replicas(c, members):
    """{partition: {node number: role}} as the members tell it."""
    held = {p: {} for p in range(PARTITIONS)}
    for n in members:
        text = n.call("SYNOD", "GROUPS")
        if isinstance(text, Err) or text is None:
            raise Closed(str(text), True)
        for line in text.decode().split("\n"):
            words = line.split()
            if "term" in words:
                settled = "rebuilding" not in words[:words.index("term")]
                held[int(words[0])][n.number] = words[1] if settled else "rebuilding"
    return held


def settled(c, members):
    """Every partition has its replicas on members, all voting, one leading, and each member holds
    its share; then who holds what."""
    held = replicas(c, members)
    want = min(WANTED, len(members))
    for roles in held.values():
        if len(roles) != want or list(roles.values()).count("leader") != 1 or \
                any(r not in ("leader", "follower") for r in roles.values()):
            return None
    total = want * PARTITIONS
    for n in members:
        has = held_by(n, held)
        if not total // len(members) <= has <= -(-total // len(members)):
            return None
    return held


def wait_settled(c, members):
    began = time.monotonic()
    held = wait_for("all replicas of %d members in their places" % len(members),
                    lambda: settled(c, members), MOVE_S, 0.1)
    return held, time.monotonic() - began


def step(c, members, before, timed, change):
    """Make a change and wait for its end: (sentence, who holds what)."""
    began = time.monotonic()
    change()
    held, _ = wait_settled(c, members)
    took = time.monotonic() - began
    moved = sum(len(set(held[p]) - set(before[p])) for p in held)
    total = sum(len(r) for r in held.values())
    # What comes to those who hold less than their share, rounded down.
    least = sum(max(0, total // len(members) - held_by(n, before)) for n in members)
    return "%d members: %d of %d replicas moved (least %d) in %.1f s, p99 %.0f ms" % (
        len(members), moved, total, least, took, timed.p99(began) * 1000), held


def held_by(n, held):
    return sum(n.number in roles for roles in held.values())


def leave(via, n):
    def asked():
        said = run(SYNOD, "cluster", "leave", "%s:%d" % n.client, "--host", via.client[0], "--port",
                   str(via.client[1]), check=False)
        if said.returncode != 0 and not any(k in said.stderr for k in ("TRYAGAIN", "INDOUBT")):
            raise Failure("synod cluster leave: %s" % said.stderr)
        return said.returncode == 0
    wait_for("node %d leaving" % n.number, asked, 60)


def wait_gone(via, n):
    """The members do not list it any more."""
    def gone():
        said = via.call("SYNOD", "MEMBERS")
        return isinstance(said, bytes) and ("%s:%d" % n.client).encode() not in said
    wait_for("node %d out of the cluster" % n.number, gone, 60)


class GrowingCluster(Cluster):
    """Node 1 founds a cluster of its own; the others are started later, to join it."""

    def make_nodes(self):
        super().make_nodes()
        seed = "%s:%d" % self.nodes[0].peer
        for n in self.nodes:
            n.start_args = ["--bootstrap"] if n.number == 1 else ["--join", seed]

    def __enter__(self):
        self.make_nodes()
        try:
            self.nodes[0].start()
            self.wait_ready(self.nodes[:1])
        except BaseException:
            self.close(failed=True)
            raise
        return self


def scenario_grow():
    """1 -> 3 -> 5 -> 3 nodes under acknowledged writes: nothing lost, and what moved"""
    extra = ["--partitions", str(PARTITIONS), "--replicas", str(WANTED)]
    said = []
    with GrowingCluster(5, extra) as c:
        members = [c[1]]
        timed = Timed(members)
        held, _ = wait_settled(c, members)
        app = cluster_client(c[1])
        with Writer([c[1]], threads=4) as w:
            timed.start()
            app.start()
            w.wait_acks(500)
            for count in (3, 5):
                new = [c[i] for i in range(len(members) + 1, count + 1)]

                def join():
                    for n in new:
                        n.start()
                        members.append(n)
                text, held = step(c, [c[i] for i in range(1, count + 1)], held, timed, join)
                said.append(text)
                w.addrs = [n.client for n in members]
                w.wait_acks(500)

            def shrink():
                for n in (c[4], c[5]):
                    members.remove(n)
                w.addrs = [n.client for n in members]
                for n in (c[4], c[5]):
                    leave(c[1], n)
            text, held = step(c, c.nodes[:3], held, timed, shrink)
            said.append(text)
            for n in (c[4], c[5]):
                wait_gone(c[1], n)
            w.wait_acks(500)
            for n in (c[4], c[5]):
                n.stop()
            w.wait_acks(500)
            timed.over.set()
            app.over.set()
            app.join(10)
            w.stop()
        found = [w.verify(n) for n in c.nodes[:3]][-1]
        expect(not app.wrong, "a cluster client saw: %s (%d in all)" % (app.wrong[:1],
                                                                       len(app.wrong)))
    return "; ".join(said + [found, "cluster client %d keys" % len(app.count)])
