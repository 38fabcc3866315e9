"""What the faults act on: a cluster in a box, who is hurt how at the moment, what a node must
not do, and when everything is well again."""
import random
import time

from box import HUB
from resp import Closed

HEALTH_S = 90.0  # to full health after the last fault ended, rebuilding included


class NoRoom(Exception):
    """A fault finds nobody to hurt: others have taken them."""


class Stage:
    def __init__(self, cluster, seed, notes, seen, partitions, replicas):
        self.c = cluster
        self.rng = random.Random("%d faults" % seed)
        self.notes = notes
        self.seen = seen  # of the probe: who acknowledged when
        self.partitions = partitions
        self.minority = (replicas - 1) // 2
        self.claims = {}  # (node number, aspect): how many hold it
        self.findings = []
        self.may_die = {}  # node number: why it may end by itself
        self.settings = {}
        self.set_on = {}  # node number: the pid that knows the settings
        self.restarts = 0
        self.replicas = replicas
        self.healing_since = 0.0

    # --- saying ---

    def note(self, text):
        self.notes.note(text)

    def found(self, sentence):
        self.notes.note("FINDING " + sentence)
        self.findings.append(sentence)
        print("FINDING  %s" % sentence, flush=True)

    # --- choosing ---

    def span(self, least, most):
        return self.rng.uniform(least, most)

    def free(self, aspect):
        return [n for n in self.c.nodes if not self.claims.get((n.number, aspect)) and
                (aspect == "disk" or n.alive())]

    def pick(self, aspect, count=1, nodes=None):
        """So many nodes that nobody hurts in this way, and claim them."""
        able = [n for n in self.free(aspect) if nodes is None or n in nodes]
        if len(able) < count:
            raise NoRoom(aspect)
        chosen = self.rng.sample(able, count)
        self.claim(aspect, chosen)
        return chosen

    def claim(self, aspect, nodes):
        for n in nodes:
            key = (n.number, aspect)
            if self.claims.get(key):
                raise NoRoom("node %d: %s" % key)
        for n in nodes:
            self.claims[(n.number, aspect)] = 1

    def release(self, aspect, nodes):
        for n in nodes:
            self.claims.pop((n.number, aspect), None)

    def leader(self):
        """The node that leads most."""
        led = {}
        for n in self.c.nodes:
            for row in self.groups(n).values():
                if row["role"] == "leader":
                    led[n] = led.get(n, 0) + 1
        if not led:
            raise NoRoom("a leader")
        return max(led, key=led.get)

    # --- acting ---

    def kill(self, n):
        self.note("kill -9 node %d" % n.number)
        n.kill()

    def start(self, n):
        self.note("start node %d" % n.number)
        n.start()

    def cut(self, pairs, how="drop", both=True):
        """Ways between ports, pairs of numbers, HUB included."""
        self.note("%s %s" % (how or "heal", " ".join("%d%s%d" % (a, "-" if both else ">", b)
                                                     for a, b in pairs)))
        for a, b in pairs:
            self.c.box.way(a, b, how)
            if both:
                self.c.box.way(b, a, how)

    def heal(self, pairs, both=True):
        self.cut(pairs, "", both)

    def set_wall(self, n, ns):
        """A jump of the node's wall clock, told to the history with what is not known of it."""
        shim = self.c.shim(n)
        before = shim.get("wall_ns")
        self.notes.wall(n.number, min(before, ns), max(before, ns))
        shim.set(wall_ns=ns)
        self.notes.wall(n.number, ns, ns)
        self.note("wall clock of node %d is off by %.3f s" % (n.number, ns / 1e9))

    def refresh_walls(self):
        for n in self.c.nodes:
            ns = self.c.shim(n).get("wall_ns")
            self.notes.wall(n.number, ns, ns)

    # --- watching ---

    @staticmethod
    def ask(n, *words):
        """The reply as text; None from who does not give one."""
        try:
            got = n.call(*words, timeout=1.0)
        except Closed:
            return None
        return got.decode() if isinstance(got, bytes) else None

    def groups(self, n, word="GROUPS"):
        """{partition: {"role", "rebuilding", "term", "applied", ...}} as a node tells it."""
        found = {}
        for line in (self.ask(n, "SYNOD", word) or "").split("\n"):
            words = line.split()
            if "term" not in words:
                continue
            at = words.index("term")
            row = dict(zip(words[at::2], words[at + 1::2]))
            row = {k: v if k == "digest" else int(v) for k, v in row.items()}
            row["role"], row["rebuilding"] = words[1], "rebuilding" in words[:at]
            found[int(words[0])] = row
        return found

    def supervise(self):
        """A node that ended by itself: only some faults excuse it."""
        for n in self.c.nodes:
            if n.process is None or n.process.poll() is None:
                continue
            status = n.process.returncode
            n.process = None
            why = self.may_die.get(n.number)
            said = n.log().strip().split("\n")[-1][-300:]
            if why is None or status != 1:
                self.found("node %d ended by itself with status %d: %s" % (n.number, status, said))
            else:
                self.note("node %d gave up (%s): %s" % (n.number, why, said))
            if not self.claims.get((n.number, "process")):
                self.restarts += 1
                self.start(n)

    def tell_settings(self):
        for n in self.c.nodes:
            if not n.alive() or self.set_on.get(n.number) == n.pid:
                continue
            words = [w for kv in self.settings.items() for w in kv]
            try:
                if not words or n.call("CONFIG", "SET", *words, timeout=0.5) == "OK":
                    self.set_on[n.number] = n.pid
            except Closed:
                pass

    def health(self, targets):
        """None, or what is still missing. targets: {partition: commit} to be applied by all."""
        since = self.healing_since
        rows = {}
        for n in self.c.nodes:
            if not n.alive():
                return "node %d does not run" % n.number
            for p in range(self.partitions):
                if self.seen[(n.number - 1) * self.partitions + p] < since:
                    return "node %d acknowledged no write to partition %d" % (n.number, p)
        for n in self.c.nodes:
            rows[n.number] = self.groups(n)
            if not rows[n.number]:
                return "node %d does not answer" % n.number
            info = self.ask(n, "CLUSTER", "INFO") or ""
            if "cluster_state:ok" not in info:
                return "node %d: cluster_state" % n.number
        for p in range(self.partitions):
            here = {number: r[p] for number, r in rows.items() if p in r}
            leaders = [k for k, r in here.items() if r["role"] == "leader"]
            if len(leaders) != 1:
                return "partition %d has %d leaders" % (p, len(leaders))
            for number, r in here.items():
                if r["rebuilding"] or r["role"] == "learner":
                    return "node %d is being rebuilt in partition %d" % (number, p)
                if r["applied"] < targets.get(p, 0):
                    return "node %d lags in partition %d" % (number, p)
            if len(here) != self.replicas:
                return "partition %d has %d replicas" % (p, len(here))
        return None

    def commits(self):
        """What all must apply to be well: the highest commit seen of each partition."""
        best = {}
        for n in self.c.nodes:
            for p, r in self.groups(n).items():
                best[p] = max(best.get(p, 0), r["commit"])
        return best

    def wait_health(self, idle, timeout=HEALTH_S):
        """Seconds until all is well; idle() is called meanwhile. None: it did not come."""
        began = time.monotonic()
        self.healing_since = began
        targets, self.waited_for = None, None
        while True:
            idle()
            self.supervise()
            self.tell_settings()
            targets = targets or (self.commits() if all(n.alive() for n in self.c.nodes) else None)
            missing = self.health(targets or {})
            if missing is None:
                return time.monotonic() - began
            self.waited_for = missing
            if time.monotonic() - began > timeout:
                self.found("no full health within %d s of the end of the faults: %s" % (timeout,
                                                                                      missing))
                return None
            time.sleep(0.02)

    def digests(self, timeout=30.0):
        """Replicas at equal index hold equal data. None, or what differs. Clients are quiet."""
        deadline = time.monotonic() + timeout
        while True:
            rows = {n.number: self.groups(n, "DIGEST") for n in self.c.nodes}
            late, differ = self.compare(rows)
            if differ:
                return differ
            if not late:
                return None
            if time.monotonic() > deadline:
                return late
            time.sleep(0.1)

    def compare(self, rows):
        """(what is not at equal index yet, what differs at equal index)"""
        late = differ = None
        for p in range(self.partitions):
            at = {}
            for number, row in rows.items():
                if p in row:
                    at.setdefault(row[p]["applied"], {})[number] = row[p]["digest"]
            if len(at) != 1 or sum(map(len, at.values())) != self.replicas:
                late = "partition %d: replicas at %s" % (p, sorted(at))
            for applied, held in at.items():
                if len(set(held.values())) > 1:
                    differ = "partition %d at index %d: digests differ: %s" % (p, applied, held)
        return late, differ


def peers(c):
    """All pairs of nodes, by number."""
    return [(a.number, b.number) for a in c.nodes for b in c.nodes if a.number < b.number]


def clients_of(n):
    return [(HUB, n.number)]

