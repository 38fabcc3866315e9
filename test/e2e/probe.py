"""Availability: every few milliseconds a write to each partition, through any node that takes
it; what counts is the time in which no node acknowledged one."""
import multiprocessing
import os
import signal
import time

from loop import Link, Loop
from resp import Err, encode
from workload import key_of_partition

EVERY_S = 0.010  # a write to each partition, over all nodes together
GAP_S = 0.030    # shorter ones are not gaps
PATIENCE_S = 9.0
# Of one partition at one node: while a request waits, another follows on a connection of its own
# after so long, and the next after half as long again. What went to a dead leader must not
# hide that the next leader serves.
NEXT_S, MORE, LINKS = 0.1, 1.5, 8


class Watch:
    """The counter of one partition, and who acknowledged it when."""

    def __init__(self, probe, partition):
        self.probe = probe
        self.partition = partition
        self.key = key_of_partition(partition, probe.partitions, "probe:")
        self.request = encode("INCR", self.key)
        self.acked = self.unknown = 0
        self.last = time.monotonic()
        self.pools = [[Link(probe.loop, self, addr)] for addr in probe.addrs]
        self.turn = partition
        self.next = 0.0

    def ready(self, link):
        pass

    def due(self, link, now):
        if link.waiting:
            link.drop()

    def down(self, link, waiting):
        self.unknown += len(waiting)

    def answered(self, link, sent_s, value, at_us):
        now = at_us / 1e6
        link.due = now + 3600.0
        self.probe.longest = max(self.probe.longest, now - sent_s)
        if not isinstance(value, int):
            kind = value.kind if isinstance(value, Err) else repr(value)
            self.probe.errors[kind] = self.probe.errors.get(kind, 0) + 1
            self.unknown += kind == "INDOUBT"
            return
        self.acked += 1
        if now - self.last > GAP_S:
            self.probe.gaps.append((self.partition, self.last, now))
        self.last = max(self.last, now)
        node = self.probe.addrs.index(link.addr)
        self.probe.seen[node * self.probe.partitions + self.partition] = now

    def ask(self, now):
        """Through the next node that has a connection for it."""
        if now < self.next:
            return
        self.next = now + EVERY_S
        for _ in self.pools:
            self.turn = (self.turn + 1) % len(self.pools)
            link = self.link_of(self.pools[self.turn], now)
            if link is not None:
                link.due = now + PATIENCE_S
                link.send(self.request, [now])
                return

    def link_of(self, pool, now):
        busy = [link for link in pool if link.waiting]
        if busy and now - max(link.waiting[0] for link in busy) < NEXT_S * MORE ** (len(busy) - 1):
            return None
        for link in pool:
            if link.state == "ready" and not link.waiting:
                return link
        if all(link.waiting for link in pool) and len(pool) < LINKS:
            pool.append(Link(self.probe.loop, self, pool[0].addr))
        return None


class Probe:
    def __init__(self, addrs, partitions, seen):
        self.addrs = addrs
        self.partitions = partitions
        self.seen = seen
        self.loop = Loop()
        self.gaps, self.errors, self.longest = [], {}, 0.0
        self.watches = [Watch(self, p) for p in range(partitions)]
        self.blind = []  # when this process itself did not get the processor
        self.asking = True

    def turn(self):
        began = time.monotonic()
        self.loop.turn(EVERY_S / 2)
        now = time.monotonic()
        if now - began > GAP_S:
            self.blind.append((began, now))
        if self.asking:
            for w in self.watches:
                w.ask(now)

    def obey(self, pipe):
        word = pipe.recv()
        if word == "gaps":  # those that ended since the last time, and those that last
            now = time.monotonic()
            open_ones = [(w.partition, w.last, now) for w in self.watches
                         if now - w.last > GAP_S]
            pipe.send((self.gaps + open_ones, self.blind))
            self.gaps = []
            return True
        if word == "quiet":
            self.asking = False
            pipe.send(not any(link.waiting for link in self.loop.links))
            return True
        pipe.send({"counters": [(w.key, w.acked, w.unknown) for w in self.watches],
                   "errors": self.errors, "wrong": self.loop.wrong, "longest": self.longest})
        return word != "end"


def main(pipe, addrs, partitions, seen):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    probe = Probe(addrs, partitions, seen)
    try:
        while True:
            probe.turn()
            if pipe.poll() and not probe.obey(pipe):
                return
    except EOFError:
        os._exit(1)


def shared(nodes, partitions):
    """When each node last acknowledged a write to each partition; read by the main process."""
    return multiprocessing.RawArray("d", nodes * partitions)
