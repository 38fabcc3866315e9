"""The recorded clients of a mix, in a process of their own: every command and every reply goes
into a history [docs/format/history.md]."""
import multiprocessing
import os
import random
import signal
import time

from history import now_us, op_line, reply
from loop import Link, Loop
from resp import Err, encode
from workload import Workload

DID_NOT_HAPPEN = ("CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "LOADING", "READONLY", "MISCONF")
PATIENCE_S = 9.0  # above what a node waits for a leader
SHORT_PATIENCE_S = 0.3
READS_AT_ONCE = 32
READS = 0.45  # of what clients ask that also write


class Client:
    """plain: its connections are to any node, one after another. cluster: one to each node, and
    it asks the map who leads a key. reader: one to each node, reads alone and little patience:
    writes would keep it waiting just where a leader that is none any more could tell old news."""

    def __init__(self, party, number, kind, connections, pipeline):
        self.party = party
        self.number = number
        self.kind = kind
        self.pipeline = pipeline
        self.rng = random.Random("%d client %d" % (party.seed, number))
        self.map = []  # (first slot, last slot, address)
        self.map_old = True
        nodes = len(party.addrs)
        count = connections if kind == "plain" else nodes
        self.links = [Link(party.loop, self, party.addrs[(number + i) % nodes])
                      for i in range(count)]

    def ready(self, link):
        link.taken = None

    def down(self, link, waiting):
        for words, call_us in waiting:
            self.party.lost(self, link, words, call_us)
        if self.kind == "plain":  # the next node
            addrs = self.party.addrs
            link.addr = addrs[(addrs.index(link.addr) + 1) % len(addrs)]

    def due(self, link, now):
        if link.waiting:
            link.drop()  # its patience is at an end
            return
        requests = self.party.draw(self, link)
        if not requests:
            link.due = now + 0.05
            return
        hasty = self.kind == "reader" or self.rng.random() < 0.03
        patience = SHORT_PATIENCE_S if hasty else PATIENCE_S
        link.due = now + patience
        call_us = now_us()
        link.send(b"".join(encode(*words) for words in requests),
                  [(words, call_us) for words in requests])

    def fits(self, link):
        """Which objects this connection asks for: those that its node leads, with slips."""
        if self.kind != "cluster" or not self.map or self.rng.random() < 0.03:
            return None
        ours = [(a, b) for a, b, addr in self.map if addr == link.addr]
        return lambda thing: any(a <= thing.slot <= b for a, b in ours)

    def answered(self, link, request, value, at_us):
        words, call_us = request
        if words == ("CLUSTER", "SLOTS"):
            if isinstance(value, list):
                self.map = [(r[0], r[1], (r[2][0].decode(), r[2][1])) for r in value
                            if len(r) > 2]
        else:
            self.party.record(self, link, words, call_us, at_us, value)
        slow_down = 0.0
        if isinstance(value, Err) and value.kind in DID_NOT_HAPPEN:
            slow_down = 0.05
            self.map_old = True
        if not link.waiting:
            think = self.party.think_s if self.party.mode == "run" else 0.0
            link.due = time.monotonic() + slow_down + think * 2 * self.rng.random()


class Party:
    """All clients: what they do (mode), and the file they write to."""

    def __init__(self, path, addrs, seed, think_s, families=None):
        self.file = open(path, "w", buffering=1 << 16)
        self.addrs = addrs
        self.seed = seed
        self.think_s = think_s
        self.mode = "quiet"
        self.loop = Loop()
        self.work = Workload(seed, families)
        self.counts = {"sent": 0, "acked": 0, "refused": 0, "unknown": 0, "wrong": 0}
        self.errors = {}
        self.reads = []
        self.clients = [Client(self, 1, "plain", 1, 1), Client(self, 2, "plain", 2, 4),
                        Client(self, 3, "plain", 1, 16), Client(self, 4, "cluster", 0, 2),
                        Client(self, 5, "cluster", 0, 8), Client(self, 6, "reader", 0, 2)]

    def draw(self, client, link):
        """The next batch for a connection."""
        if self.mode == "run":
            count = client.rng.randint(1, client.pipeline)
            fits = client.fits(link)
            reads = 1.0 if client.kind == "reader" else READS
            batch = [self.work.request(reads, fits) for _ in range(count)]
            batch = [words for words in batch if words is not None]
            if client.kind == "cluster" and (client.map_old or not batch):
                client.map_old = False
                batch.insert(0, ("CLUSTER", "SLOTS"))
            return batch
        if self.mode == "read" and client.kind == "plain":
            batch, self.reads = self.reads[:READS_AT_ONCE], self.reads[READS_AT_ONCE:]
            return batch
        return []

    def lost(self, client, link, words, call_us):
        if words == ("CLUSTER", "SLOTS"):
            return
        self.counts["sent"] += 1
        self.counts["unknown"] += 1
        self.file.write(op_line(client.number, link.number, call_us, None, words, "lost"))
        if self.mode == "read":
            self.reads.append(words)

    def record(self, client, link, words, call_us, at_us, value):
        self.counts["sent"] += 1
        self.file.write(op_line(client.number, link.number, call_us, at_us, words, reply(value)))
        if not isinstance(value, Err):
            self.counts["acked"] += 1
            return
        self.errors[value.kind] = self.errors.get(value.kind, 0) + 1
        if value.kind in DID_NOT_HAPPEN:
            self.counts["refused"] += 1
        elif value.kind == "INDOUBT":
            self.counts["unknown"] += 1
        elif value.kind in ("ERR", "WRONGTYPE"):
            self.counts["acked"] += 1  # an answer of the command; the checker judges it
        else:
            self.counts["wrong"] += 1
        if self.mode == "read":
            self.reads.append(words)

    def quiet(self):
        return not any(link.waiting for link in self.loop.links)

    def obey(self, pipe):
        """Words of the main process; each is answered. False: it wants no more."""
        word = pipe.recv()
        if word == "read":
            self.mode = "read"
            self.reads = list(self.work.last_reads())
        elif word in ("run", "quiet"):
            self.mode = word
        elif word == "done?":
            pipe.send(self.quiet() and not self.reads)
            return True
        elif word == "end":
            for link in self.loop.links:
                link.wanted = False
                if link.state != "idle":
                    link.drop(3600.0)
            self.file.close()
        pipe.send({"counts": self.counts, "errors": self.errors, "wrong": self.loop.wrong,
                   "objects": self.work.numbers})
        return word != "end"


def main(pipe, path, addrs, seed, think_s, families):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends us
    party = Party(path, addrs, seed, think_s, families)
    flushed = time.monotonic()
    try:
        while True:
            party.loop.turn()
            if time.monotonic() - flushed > 0.5:
                party.file.flush()
                flushed = time.monotonic()
            if pipe.poll() and not party.obey(pipe):
                return
    except EOFError:
        os._exit(1)


class Remote:
    """Such a process, as the main process sees it."""

    def __init__(self, target, *args):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=target, args=(theirs,) + args, daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, word, timeout=20.0):
        self.pipe.send(word)
        if not self.pipe.poll(timeout):
            raise AssertionError("%s: no answer to %s" % (self.process.name, word))
        return self.pipe.recv()

    def close(self):
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
