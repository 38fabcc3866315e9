"""Writers that know exactly what they were promised, and verify it afterwards.

Each thread talks over one connection at a time, one request at a time, moving to the next
node when a connection breaks. It alternates unique SETs with INCRs of a counter of its own
and of a shared one, and reads its own counter through whatever node it is on. Every answer
is one of: acknowledged, did not happen (-CLUSTERDOWN, -TRYAGAIN, never sent), or unknown
(-INDOUBT, connection lost after sending).
"""
import threading
import time

from cluster import Failure, wait_for
from resp import Closed, Conn, Err

DID_NOT_HAPPEN = ("CLUSTERDOWN", "TRYAGAIN", "READONLY", "MISCONF", "LOADING")
UNKNOWN = ("INDOUBT",)
SHARED_COUNTERS = 4


class Thread(threading.Thread):
    def __init__(self, owner, number):
        super().__init__(daemon=True)
        self.owner = owner
        self.number = number
        self.conn = None
        self.next_addr = number
        self.sets = []  # state of the SET with this number: "acked", "no", "unknown"
        self.own = {"acked": 0, "unknown": 0, "last": 0}
        self.shared = {}  # counter: [acked, unknown]
        self.errors = {}
        self.longest_gap = 0.0
        self.acks = 0
        self.reads = 0
        self.wrong = []

    def run(self):
        last_ack = time.monotonic()
        while not self.owner.stopping.is_set():
            before = self.acks
            try:
                self.one_round()
            except Exception as e:  # a harness bug must not look like a quiet cluster
                self.wrong.append("writer %d: %r" % (self.number, e))
                return
            now = time.monotonic()
            if self.acks > before:
                self.longest_gap = max(self.longest_gap, now - last_ack)
                last_ack = now
        self.longest_gap = max(self.longest_gap, time.monotonic() - last_ack)
        self.drop()

    def drop(self):
        if self.conn is not None:
            self.conn.close()
            self.conn = None

    def ask(self, *args):
        """(outcome, reply)"""
        try:
            if self.conn is None:
                addr = self.owner.addrs[self.next_addr % len(self.owner.addrs)]
                self.next_addr += 1
                self.conn = Conn(addr, self.owner.timeout)
            reply = self.conn.call(*args)
        except Closed as e:
            self.drop()
            self.count(str(e).split(":")[0])
            self.owner.stopping.wait(0.02)
            return ("unknown" if e.sent else "no"), None
        if isinstance(reply, Err):
            self.count(reply.kind)
            self.owner.stopping.wait(0.005)
            if reply.kind in DID_NOT_HAPPEN:
                return "no", reply
            if reply.kind not in UNKNOWN:
                self.wrong.append("untyped error to %s: %s" % (args[0], reply))
            return "unknown", reply
        return "acked", reply

    def count(self, kind):
        self.errors[kind] = self.errors.get(kind, 0) + 1

    def one_round(self):
        self.set_unique()
        self.incr_own()
        self.incr_shared()
        self.get_own()
        if self.owner.pace:
            self.owner.stopping.wait(self.owner.pace)

    def key(self, n):
        return "%s:%d:%d" % (self.owner.stem, self.number, n)

    def set_unique(self):
        n = len(self.sets)
        self.sets.append("unknown")
        outcome, _ = self.ask("SET", self.key(n), self.key(n) + "=" + "v" * 64)
        self.sets[n] = outcome
        self.acks += outcome == "acked"

    def own_key(self):
        return "%s:own:%d" % (self.owner.stem, self.number)

    def incr_own(self):
        outcome, value = self.ask("INCR", self.own_key())
        if outcome == "acked":
            top = self.own["acked"] + self.own["unknown"] + 1
            if not self.own["last"] < value <= top:
                self.wrong.append("INCR %s gave %s after %d; %d were sent" %
                                  (self.own_key(), value, self.own["last"], top))
            self.own["last"] = value
            self.own["acked"] += 1
            self.acks += 1
        elif outcome == "unknown":
            self.own["unknown"] += 1

    def get_own(self):
        """Linearizable: never older than what this thread was promised."""
        outcome, value = self.ask("GET", self.own_key())
        if outcome != "acked":
            return
        self.reads += 1
        value = int(value or 0)
        if not self.own["last"] <= value <= self.own["acked"] + self.own["unknown"]:
            self.wrong.append("stale or impossible read of %s: %d, acknowledged %d" %
                              (self.own_key(), value, self.own["last"]))

    def incr_shared(self):
        k = "%s:shared:%d" % (self.owner.stem, len(self.sets) % SHARED_COUNTERS)
        outcome, _ = self.ask("INCR", k)
        seen = self.shared.setdefault(k, [0, 0])
        if outcome == "acked":
            seen[0] += 1
            self.acks += 1
        elif outcome == "unknown":
            seen[1] += 1


class Writer:
    def __init__(self, nodes, threads=4, stem="w", timeout=8.0, pace=0.0):
        self.addrs = [n.client for n in nodes]
        self.stem = stem
        self.timeout = timeout
        self.pace = pace
        self.stopping = threading.Event()
        self.threads = [Thread(self, i) for i in range(threads)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(self.timeout + 2)

    @property
    def acks(self):
        return sum(t.acks for t in self.threads)

    @property
    def errors(self):
        total = {}
        for t in self.threads:
            for kind, n in t.errors.items():
                total[kind] = total.get(kind, 0) + n
        return total

    @property
    def gap(self):
        return max(t.longest_gap for t in self.threads)

    def wait_acks(self, more, timeout=20):
        """Progress: this many further acknowledgements."""
        want = self.acks + more
        wait_for("%d more acknowledged writes" % more, lambda: self.acks >= want, timeout)

    def verify(self, node):
        """Everything promised is there, nothing impossible is. Returns a sentence."""
        wrong = [w for t in self.threads for w in t.wrong]
        conn = node.conn(30.0)
        for t in self.threads:
            wrong += self.verify_sets(conn, t)
            value = int(conn.call("GET", t.own_key()) or 0)
            if not t.own["acked"] <= value <= t.own["acked"] + t.own["unknown"]:
                wrong.append("%s is %d; %d acknowledged, %d unknown" %
                             (t.own_key(), value, t.own["acked"], t.own["unknown"]))
        for k in {k for t in self.threads for k in t.shared}:
            acked = sum(t.shared.get(k, [0, 0])[0] for t in self.threads)
            unknown = sum(t.shared.get(k, [0, 0])[1] for t in self.threads)
            value = int(conn.call("GET", k) or 0)
            if not acked <= value <= acked + unknown:
                wrong.append("%s is %d; %d acknowledged, %d unknown" % (k, value, acked, unknown))
        conn.close()
        if wrong:
            raise Failure("%d wrong, first: %s" % (len(wrong), wrong[0]))
        sets = [s for t in self.threads for s in t.sets]
        return "%d acknowledged writes all there, %d unknown, %d refused" % (
            self.acks, sets.count("unknown"), sets.count("no"))

    def verify_sets(self, conn, t):
        wrong = []
        for first in range(0, len(t.sets), 500):
            numbers = range(first, min(first + 500, len(t.sets)))
            replies = conn.pipeline([("GET", t.key(n)) for n in numbers])
            for n, reply in zip(numbers, replies):
                want = (t.key(n) + "=" + "v" * 64).encode()
                if isinstance(reply, Err):
                    wrong.append("GET %s: %s" % (t.key(n), reply))
                elif t.sets[n] == "acked" and reply != want:
                    wrong.append("acknowledged %s is lost: %r" % (t.key(n), reply))
                elif t.sets[n] == "no" and reply is not None:
                    wrong.append("%s was refused and yet happened" % t.key(n))
                elif reply not in (None, want):
                    wrong.append("%s holds %r" % (t.key(n), reply))
        return wrong
