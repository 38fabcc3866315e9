"""What the recorded clients ask: commands of every family that the checker has a model for, on
few live keys, so that operations overlap. A key is retired after some operations, so that each
piece of history stays small enough to be judged exactly; all are read again at the end.
"""
import binascii
import random

SLOTS = 16384


def key_slot(key):
    """CRC16 of the key or its hashtag, as Redis Cluster has it."""
    opening = key.find("{")
    closing = key.find("}", opening + 1) if opening >= 0 else -1
    if closing > opening + 1:
        key = key[opening + 1:closing]
    return binascii.crc_hqx(key.encode(), 0) % SLOTS


def key_of_partition(partition, partitions, stem):
    for i in range(100000):
        key = "%s%d" % (stem, i)
        if key_slot(key) * partitions // SLOTS == partition:
            return key
    raise AssertionError("no key for partition %d" % partition)


class Thing:
    """One live object: a key, or a few that belong together."""

    def __init__(self, family, number, life):
        self.family = family
        self.key = "%s:%d" % (family, number) if family != "pair" else "{pair:%d}" % number
        self.slot = key_slot(self.key)
        self.left = life


class Workload:
    """seed; live: objects per family at any time; life: operations that one gets, about."""

    def __init__(self, seed, families=None, live=2, life=120):
        self.rng = random.Random(seed)
        self.families = families or sorted(WRITES)
        self.life = life
        self.values = 0
        self.numbers = 0
        self.retired = []
        self.live = [self.fresh(f) for f in self.families for _ in range(live)]

    def fresh(self, family):
        self.numbers += 1
        return Thing(family, self.numbers, self.rng.randint(self.life // 2, self.life * 3 // 2))

    def value(self):
        """Never given twice. Some are long, so that logs and snapshots have something to carry."""
        self.values += 1
        pad = 0 if self.rng.random() < 0.9 else self.rng.choice((50, 500, 3000))
        return "v%d" % self.values + ("." + "x" * pad if pad else "")

    def request(self, reads, fits=None):
        """One command, a read with this probability; None where no live object fits."""
        places = [i for i, t in enumerate(self.live) if fits is None or fits(t)]
        if not places:
            return None
        place = self.rng.choice(places)
        thing = self.live[place]
        thing.left -= 1
        if thing.left <= 0:
            self.retired.append(thing)
            self.live[place] = self.fresh(thing.family)
        table = READS if self.rng.random() < reads else WRITES
        return self.rng.choice(table[thing.family])(self, thing.key)

    def last_reads(self):
        """The whole of every object there ever was."""
        for thing in self.retired + self.live:
            for words in WHOLE[thing.family](thing.key):
                yield words

    def below(self, n):
        return self.rng.randrange(n)

    def ms(self):
        return self.rng.choice((1, 20, 200, 1000, 3000, 60000))


def field(w):
    return "f%d" % w.below(3)


# Of each family: commands as functions of the workload and the key. Twice in the list is twice
# as often.
WRITES = {
    "reg": [
        lambda w, k: ("SET", k, w.value()), lambda w, k: ("SET", k, w.value()),
        lambda w, k: ("SETNX", k, w.value()), lambda w, k: ("SET", k, w.value(), "NX"),
        lambda w, k: ("SET", k, w.value(), "XX"), lambda w, k: ("SET", k, w.value(), "GET"),
        lambda w, k: ("GETSET", k, w.value()), lambda w, k: ("GETDEL", k),
        lambda w, k: ("DEL", k)],
    "ctr": [
        lambda w, k: ("INCR", k), lambda w, k: ("INCRBY", k, 1 + w.below(9)),
        lambda w, k: ("DECRBY", k, 1 + w.below(9))],
    "str": [
        lambda w, k: ("APPEND", k, w.value() + ","), lambda w, k: ("APPEND", k, w.value() + ","),
        lambda w, k: ("SETRANGE", k, w.below(40), w.value())],
    "bit": [
        lambda w, k: ("SETBIT", k, w.below(24), w.below(2)),
        lambda w, k: ("SETBIT", k, w.below(24), w.below(2))],
    "hash": [
        lambda w, k: ("HSET", k, field(w), w.value()),
        lambda w, k: ("HSET", k, "f0", w.value(), "f2", w.value()),
        lambda w, k: ("HSETNX", k, field(w), w.value()), lambda w, k: ("HDEL", k, field(w)),
        lambda w, k: ("HINCRBY", k, "n", 1 + w.below(5))],
    "pair": [
        lambda w, k: ("MSET", k + "a", w.value(), k + "b", w.value()),
        lambda w, k: ("MSET", k + "a", w.value(), k + "b", w.value()),
        lambda w, k: ("MSETNX", k + "a", w.value(), k + "b", w.value()),
        lambda w, k: ("SET", k + "a", w.value()), lambda w, k: ("DEL", k + "a", k + "b"),
        lambda w, k: ("RENAME", k + "a", k + "b")],
    "exp": [
        lambda w, k: ("SET", k, w.value(), "PX", w.ms()),
        lambda w, k: ("PSETEX", k, w.ms(), w.value()), lambda w, k: ("SET", k, w.value()),
        lambda w, k: ("PEXPIRE", k, w.ms()), lambda w, k: ("PERSIST", k),
        lambda w, k: ("SET", k, w.value(), "NX", "PX", w.ms()), lambda w, k: ("DEL", k)],
}
READS = {
    "reg": [lambda w, k: ("GET", k), lambda w, k: ("GET", k), lambda w, k: ("EXISTS", k),
            lambda w, k: ("TYPE", k)],
    "ctr": [lambda w, k: ("GET", k)],
    "str": [lambda w, k: ("GET", k), lambda w, k: ("STRLEN", k),
            lambda w, k: ("GETRANGE", k, w.below(20), 20 + w.below(20))],
    "bit": [lambda w, k: ("GETBIT", k, w.below(24)), lambda w, k: ("BITCOUNT", k),
            lambda w, k: ("GET", k)],
    "hash": [lambda w, k: ("HGET", k, field(w)), lambda w, k: ("HMGET", k, "f0", "f1", "f2", "n"),
             lambda w, k: ("HLEN", k), lambda w, k: ("HEXISTS", k, field(w))],
    "pair": [lambda w, k: ("MGET", k + "a", k + "b"), lambda w, k: ("MGET", k + "a", k + "b"),
             lambda w, k: ("EXISTS", k + "a", k + "b")],
    "exp": [lambda w, k: ("GET", k), lambda w, k: ("GET", k), lambda w, k: ("PTTL", k),
            lambda w, k: ("EXISTS", k)],
}
WHOLE = {
    "reg": lambda k: [("GET", k)],
    "ctr": lambda k: [("GET", k)],
    "str": lambda k: [("GET", k)],
    "bit": lambda k: [("GET", k)],
    "hash": lambda k: [("HMGET", k, "f0", "f1", "f2", "n")],
    "pair": lambda k: [("MGET", k + "a", k + "b")],
    "exp": lambda k: [("GET", k)],
}
