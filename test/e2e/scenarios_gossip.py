"""Packets and connections fail apart from each other: who is alive is told rightly, and data
is served as long as connections are there. And keys of packets are replaced under load."""
import os
import secrets
import signal
import time

from cluster import Cluster, NetCluster, expect, run, wait_for
from scenarios_faults import heal_and_verify, need_namespaces
from writer import Writer


def states(node, count=3):
    """{number of the member: what this node holds of it}"""
    told = {}
    for line in node.call("SYNOD", "MEMBERS").decode().split("\n"):
        words = line.split()
        if "peers" in words:
            number = int(words[words.index("peers") + 1].split(":")[0].split(".")[-1])
            known = {"alive", "suspect", "dead", "left"} & set(words)
            told[number] = known.pop() if known else "unknown"
    expect(len(told) == count, "SYNOD MEMBERS names %s" % told)
    return told


def all_are(nodes, who, state):
    return all(states(n)[m.number] == state for n in nodes for m in who if m is not n)


def counts(node):
    return {k: int(v) for k, v in node.info().items() if k.startswith("gossip_") and
            str(v).isdigit()}


class ProtocolCluster(NetCluster):
    """One protocol between nodes can be cut: what of it arrives at a node vanishes."""

    def block(self, node, protocol):
        run("ip", "-n", self.spaces[node.number - 1], "rule", "add", "pref", "50", "iif", "e1",
            "ipproto", protocol, "blackhole")

    def unblock(self, node, protocol):
        run("ip", "-n", self.spaces[node.number - 1], "rule", "del", "pref", "50", "iif", "e1",
            "ipproto", protocol, "blackhole")


def scenario_udp_blocked():
    """No UDP between nodes: all are known to be alive by their connections, the dead is noticed"""
    need_namespaces()
    with ProtocolCluster(3) as c, Writer(c.nodes) as w:
        wait_for("all alive", lambda: all_are(c.nodes, c.nodes, "alive"))
        w.wait_acks(200)
        for n in c.nodes:
            c.block(n, "udp")
        heard = [counts(n)["gossip_packets_received"] for n in c.nodes]
        until = time.monotonic() + 35  # longer than the longest suspicion
        while time.monotonic() < until:
            w.wait_acks(20)
            expect(all_are(c.nodes, c.nodes, "alive"), "somebody is not alive: %s" % [
                states(n) for n in c.nodes])
            time.sleep(0.5)
        expect(heard == [counts(n)["gossip_packets_received"] for n in c.nodes],
               "packets arrived although UDP is blocked")
        c[3].kill()
        died = time.monotonic()
        wait_for("node 3 dead", lambda: all_are([c[1], c[2]], [c[3]], "dead"), 60, 0.2)
        noticed = time.monotonic() - died
        w.wait_acks(100)
        c[3].start()
        wait_for("node 3 back", lambda: all_are([c[1], c[2]], [c[3]], "alive"), 30, 0.2)
        for n in c.nodes:
            c.unblock(n, "udp")
        wait_for("packets", lambda: all(counts(n)["gossip_packets_received"] > h + 3
                                        for n, h in zip(c.nodes, heard)), 30, 0.2)
        said = heal_and_verify(c, w)
        expect(all_are(c.nodes, c.nodes, "alive"), "not all are alive in the end")
    return "%s; a death noticed after %.1f s without packets" % (said, noticed)


def scenario_tcp_dead():
    """No TCP from and to one node while its UDP works: to the others it is dead, until it works"""
    need_namespaces()
    with ProtocolCluster(3) as c, Writer(c.nodes[:2]) as w:
        wait_for("all alive", lambda: all_are(c.nodes, c.nodes, "alive"))
        w.wait_acks(200)
        c.block(c[3], "tcp")
        began = time.monotonic()
        wait_for("node 3 dead", lambda: all_are([c[1], c[2]], [c[3]], "dead"), 90, 0.2)
        noticed = time.monotonic() - began
        heard = counts(c[1])["gossip_packets_received"]
        w.wait_acks(100)
        time.sleep(5)
        expect(counts(c[1])["gossip_packets_received"] > heard, "no packets although UDP works")
        expect(all_are([c[1], c[2]], [c[3]], "dead"), "packets alone brought node 3 back")
        c.unblock(c[3], "tcp")
        wait_for("node 3 back", lambda: all_are([c[1], c[2]], [c[3]], "alive"), 60, 0.2)
        back = time.monotonic() - began - noticed - 5
        said = heal_and_verify(c, w)
    return "%s; dead after %.1f s, back %.1f s after the cure" % (said, noticed, back)


def keys_of(node):
    """[(fingerprint, how many it opened)], and how many packets none opened."""
    found, none = [], 0
    for line in node.call("SYNOD", "KEYS").decode().split("\n"):
        words = line.split()
        if line.startswith("key "):
            found.append((words[3], int(words[-2])))
        elif "none of them opened" in line:
            none = int(words[-1])
    return found, none


def scenario_gossip_keys():
    """Keys of packets are replaced on running nodes, step by step: no packet goes unread"""
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    with Cluster(3, ready=False) as c:
        path = os.path.join(c.folder, "keys")

        def write(*keys):
            with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
                f.write("\n".join(keys) + "\n")

        def read_again(n, fingerprints):
            os.kill(n.pid, signal.SIGHUP)
            wait_for("new keys", lambda: len(keys_of(n)[0]) == fingerprints, 5)
            time.sleep(1.2)  # packets between nodes that are a step apart
        # From none to the first, by restarts: nobody is held dead.
        c.wait_ready()
        write(old)
        for n in c.nodes:
            n.stop()
            n.extra = list(n.extra) + ["--gossip-key", path]
            n.start()
            c.wait_ready()
        wait_for("packets", lambda: all(keys_of(n)[0][0][1] > 0 for n in c.nodes), 20)
        unread = [keys_of(n)[1] for n in c.nodes]
        with Writer(c.nodes) as w:
            w.wait_acks(100)
            for keys in ((old, new), (new, old), (new,)):
                write(*keys)
                for n in c.nodes:
                    read_again(n, len(keys))
            wait_for("packets under the new key",
                     lambda: all(keys_of(n)[0][0][1] > 2 for n in c.nodes), 20)
            now = [keys_of(n)[1] for n in c.nodes]
            expect(now == unread, "packets went unread: %s, then %s" % (unread, now))
            write("no key at all")
            os.kill(c[1].pid, signal.SIGHUP)
            wait_for("the refusal", lambda: "the keys stay as they were" in c[1].log(), 5)
            said = heal_and_verify(c, w)
    return said
