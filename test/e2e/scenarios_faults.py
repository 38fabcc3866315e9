"""Processes that die, stop and are cut off, under writers that know what they were
promised."""
import os
import random
import shutil
import statistics
import time

from cluster import (Cluster, NetCluster, can_make_namespaces, expect, run, wait_for)
from resp import Closed, Conn, Err
from scenarios_basic import short
from writer import Writer


def rounds(default):
    return int(os.environ.get("ROUNDS", default))


def heal_and_verify(c, w):
    w.stop()
    c.wait_ready()
    return [w.verify(n) for n in c.nodes][-1]


@short
def scenario_kill9():
    """kill -9 of each node alone, of two at once, of all three, under writers"""
    sets = [[1], [2], [3], [1, 2], [2, 3], [1, 3], [1, 2, 3]]
    if os.environ.get("SHORT"):
        sets = [[1], [2, 3], [1, 2, 3]]
    else:
        sets = [sets[i % len(sets)] for i in range(rounds(7))]
    with Cluster(3) as c, Writer(c.nodes) as w:
        w.wait_acks(200)
        for victims in sets:
            for v in victims:
                c[v].kill()
            if len(victims) == 1:
                w.wait_acks(100)  # two of three go on alone
            else:
                time.sleep(0.3)
            for v in victims:
                c[v].start()
            c.wait_ready()
            w.wait_acks(100)
        said = heal_and_verify(c, w)
    return "%d rounds; %s" % (len(sets), said)


def scenario_pause():
    """SIGSTOP for 5 s of each node in turn: no stale read, nothing lost"""
    with Cluster(3) as c, Writer(c.nodes) as w:
        w.wait_acks(200)
        for i in range(rounds(3)):
            n = c.nodes[i % 3]
            n.pause()
            time.sleep(5)
            n.resume()
            w.wait_acks(200)
            c.wait_ready()
        said = heal_and_verify(c, w)
        expect(w.gap < 12, "a writer waited %.1f s" % w.gap)
    return "%s; longest wait of a writer %.1f s" % (said, w.gap)


def need_namespaces():
    if not can_make_namespaces():
        from run import Skip
        raise Skip("needs root and ip netns")


def scenario_partition():
    """Each node cut off from its peers, then from everyone, in network namespaces"""
    need_namespaces()
    with NetCluster(3) as c, Writer(c.nodes) as w:
        w.wait_acks(200)
        for i in range(rounds(6)):
            n = c.nodes[i % 3]
            if i % 2 == 0:
                c.cut_peers(n)  # its clients still reach it: a stale leader would be seen
            else:
                c.cut(n)
            time.sleep(3)
            w.wait_acks(100)
            c.heal(n)
            c.wait_ready()
            w.wait_acks(200)
        said = heal_and_verify(c, w)
    return said


# Who is not heard by whom, each link one way only: single ways, a mute node, a deaf one, a
# ring in which each hears one of the two others.
ONE_WAY = [[(1, 2)], [(2, 1)], [(3, 1)], [(2, 3)], [(1, 2), (1, 3)], [(2, 1), (3, 1)],
           [(2, 1), (2, 3)], [(1, 3), (2, 3)], [(1, 2), (2, 3), (3, 1)]]


def scenario_asymmetric():
    """Packets vanish in one direction only: a majority that can talk serves, nothing diverges"""
    need_namespaces()
    gaps = []
    with NetCluster(3) as c, Writer(c.nodes, threads=6) as w:
        w.wait_acks(200)
        for ways in ONE_WAY:
            ring = len(ways) == 3
            for a, b in ways:
                c.cut_way(c[a], c[b])
            started = time.monotonic()
            if not ring:
                w.wait_acks(100)
                gaps.append(time.monotonic() - started)
            time.sleep(max(0, started + 4 - time.monotonic()))
            for a, b in ways:
                c.heal_way(c[a], c[b])
            c.wait_ready()
            w.wait_acks(200)
        said = heal_and_verify(c, w)
    return "%d ways of cutting; 100 writes done within %.1f s of each; %s; %s" % (
        len(ONE_WAY), max(gaps), said, w.errors)


def scenario_chaos():
    """20 rounds of everything: kill one, two, all; pause 5 s; cut off peers or all"""
    need_namespaces()
    plan = ["kill 1", "kill 2", "kill 3", "kill 1 2", "kill 1 2 3", "pause 1", "pause 2", "pause 3",
            "cutpeers 1", "cutpeers 2", "cutpeers 3", "cut 1", "kill 2 3", "kill 1 3", "cut 2",
            "kill 1 2 3", "pause 1", "cutpeers 2", "cut 3", "kill 1 2 3"]
    plan = [plan[i % len(plan)] for i in range(rounds(20))]
    with NetCluster(3) as c, Writer(c.nodes, threads=6) as w:
        w.wait_acks(300)
        for step in plan:
            word, numbers = step.split()[0], [int(x) for x in step.split()[1:]]
            hurt(c, word, numbers)
            c.wait_ready()
            w.wait_acks(100)
        said = heal_and_verify(c, w)
    return "%d rounds; %s" % (len(plan), said)


def hurt(c, word, numbers):
    """One fault from its beginning to its end."""
    for k in numbers:
        {"kill": c[k].kill, "pause": c[k].pause, "cut": lambda: c.cut(c[k]),
         "cutpeers": lambda: c.cut_peers(c[k])}[word]()
    time.sleep(5 if word == "pause" else 0.5 if word == "kill" else 3)
    for k in numbers:
        {"kill": c[k].start, "pause": c[k].resume, "cut": lambda: c.heal(c[k]),
         "cutpeers": lambda: c.heal(c[k])}[word]()


def write_gap(c, victim, key):
    """Kill the leader of a key, at any moment, while another node's client writes that key;
    the longest time between two acknowledgements, in seconds. None: it led no more."""
    other = next(n for n in c.nodes if n is not victim)
    acks, until, conn = [], None, None
    killed = False
    started = time.monotonic()
    kill_at = started + 0.3 + random.random()
    while until is None or time.monotonic() < until:
        try:
            conn = conn or Conn(other.client, 3)
            if conn.call("SET", key, str(len(acks))) == "OK":
                acks.append(time.monotonic())
        except Closed:
            conn = None
        if not killed and time.monotonic() > kill_at:
            if c.leader_of(key, other) is not victim:
                return None
            victim.kill()
            killed = time.monotonic()
        if killed and until is None and acks[-1] > killed:
            until = time.monotonic() + 0.5
        expect(time.monotonic() - started < 20, "no write for 20 s after a leader's death")
    return max(b - a for a, b in zip(acks, acks[1:]) if b > killed)


def scenario_gap():
    """The write gap after kill -9 of a leader: median at most 800 ms"""
    gaps, turn = [], 0
    with Cluster(3) as c:
        while len(gaps) < rounds(15):
            victim = c.nodes[turn % 3]
            turn += 1
            expect(turn < 4 * rounds(15), "leaders never stay")
            wait_leads(c, victim)
            time.sleep(1)
            gap = write_gap(c, victim, c.key_led_by(victim, "gap"))
            if gap is None:
                continue  # leadership moved between the choice of the key and the kill
            gaps.append(gap * 1000)
            victim.start()
            c.wait_ready()
    gaps.sort()
    median = statistics.median(gaps)
    said = "median %.0f ms, least %.0f, most %.0f, %d rounds" % (median, gaps[0], gaps[-1],
                                                                 len(gaps))
    expect(median <= 800, said)
    return said


def wait_leads(c, node):
    """Until a returned node leads something again, so that there is a leader to kill."""
    def leads():
        with node.conn() as conn:
            rows = conn.call("CLUSTER", "SLOTS")
        return any(r[2][1] == node.client[1] and r[2][0].decode() == node.client[0] for r in rows)
    wait_for("node %d leads again" % node.number, leads, 30, 0.1)


def wait_writable(rest, down):
    """Until these take writes to all partitions; what was on its way to the dead is in doubt."""
    requests = [("SET", "suffice:%d" % i, "1") for i in range(200)]

    def all_there(n):
        with n.conn(10) as conn:
            return set(conn.pipeline(requests)) == {"OK"}
    for n in rest:
        wait_for("writes to all partitions with node %d down" % down.number,
                 lambda n=n: all_there(n), 15)


def other_two_suffice(c, back):
    """Kill one of the others: the node that came back must count as a voter again."""
    other = next(n for n in c.nodes if n is not back)
    rest = [n for n in c.nodes if n is not other]
    other.kill()
    took = c.wait_ready(rest)
    wait_writable(rest, other)
    other.start()
    c.wait_ready()
    return took


def wait_voter(c, back, timeout=60):
    """Until all of its replicas vote again: INFO counts those that are being rebuilt."""
    def done():
        info = back.info()
        return info.get("partitions_rebuilding") == "0" and \
            info.get("partitions_here") == info.get("partitions") != "0" and info
    return wait_for("node %d votes everywhere" % back.number, done, timeout, 0.1)


def scenario_emptied():
    """An emptied directory is refused as a voter and brought back with --join"""
    with Cluster(3) as c, Writer(c.nodes[:2]) as w:
        w.wait_acks(300)
        lost = c[3]
        lost.kill()
        shutil.rmtree(lost.dir)
        os.makedirs(lost.dir)
        lost.start()  # the same command line as ever: --found
        time.sleep(3)
        w.wait_acks(100)
        if lost.alive():
            expect(lost.info().get("partitions_here", "0") == "0",
                   "an emptied node takes part again as if it had its log")
        lost.kill()
        refusal = lost.log().strip().split("\n")[-1]
        lost.start_args = ["--join", "%s:%d,%s:%d" % (c[1].peer + c[2].peer)]
        lost.start()
        c.wait_ready()
        wait_voter(c, lost)
        w.wait_acks(100)
        other_two_suffice(c, lost)
        said = heal_and_verify(c, w)
    return "%s; refusal: %s" % (said, refusal[-120:])
