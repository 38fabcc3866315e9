"""Starts, hurts and watches a cluster of real synod processes, each in its own folder.

Cluster runs on loopback. NetCluster gives every node a network namespace of its own with
two links, one for peers and one for clients, so that either can be cut; it needs root.
Everything started here is stopped by process id and everything made here is removed.
"""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from resp import Closed, Conn, Err

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SYNOD = os.environ.get("SYNOD", os.path.join(ROOT, "build", "synod"))
# Below the range the kernel takes for outgoing connections, so that a killed node finds
# its port free again.
PORT_FIRST, PORT_LAST = 24000, 24990


class Failure(Exception):
    """What a scenario found wrong, as one sentence."""


def expect(condition, sentence):
    if not condition:
        raise Failure(sentence)


def free_ports(count, peers=0):
    """A run of ports nobody listens on; where to look first depends on the process, so that
    parallel runs do not meet. peers: the ports that much higher must be free too."""
    lowest = PORT_FIRST - peers  # so that the higher ones are in the range too
    span = PORT_LAST - PORT_FIRST - count
    start = os.getpid() * 37 % span
    for i in range(0, span, count):
        first = lowest + (start + i) % span
        held = []
        try:
            for port in [first + k + up for k in range(count) for up in {0, peers}]:
                s = socket.socket()
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held.append(s)
                s.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for s in held:
                s.close()
    raise Failure("no %d free ports in a row" % count)


def wait_for(what, predicate, timeout=20.0, step=0.02):
    """Polls until predicate gives something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            got = predicate()
        except Closed as e:
            got = None
            last = str(e)
        else:
            last = repr(got)[:200]
        if got:
            return got
        if time.monotonic() > deadline:
            raise Failure("%s: not within %g s (last: %s)" % (what, timeout, last))
        time.sleep(step)


def folder_bytes(path):
    """Blocks in use below a folder; files may vanish meanwhile."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


class Node:
    def __init__(self, number, folder, client, peer, start, extra=(), prefix=()):
        self.number = number
        self.dir = os.path.join(folder, "node%d" % number)
        self.log_path = os.path.join(folder, "node%d.log" % number)
        self.client = client
        self.peer = peer
        self.start_args = list(start)
        self.extra = list(extra)
        self.prefix = list(prefix)
        self.env = None
        self.process = None
        os.makedirs(self.dir, exist_ok=True)

    def command(self):
        return self.prefix + [
            SYNOD, "server", "--dir", self.dir, "--listen", "%s:%d" % self.client,
            "--peer", "%s:%d" % self.peer] + self.start_args + self.extra

    def start(self):
        expect(self.process is None, "node %d is already running" % self.number)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.env)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9"""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, timeout=20):
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure("node %d did not stop within %g s of SIGTERM" % (self.number, timeout))
        self.process = None
        return status

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def wait_exit(self, timeout=10):
        """The status of a node that is expected to give up by itself."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure("node %d still runs after %g s" % (self.number, timeout))
        self.process = None
        return status

    def conn(self, timeout=5.0):
        return Conn(self.client, timeout)

    def call(self, *args, timeout=5.0):
        with self.conn(timeout) as c:
            return c.call(*args)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def info(self):
        """INFO as a dict of strings."""
        text = self.call("INFO", "everything")
        if text is None or isinstance(text, Err):
            raise Closed(str(text), True)
        text = text.decode() if isinstance(text, bytes) else text
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    def status(self, field):
        """A field of /proc/PID/status in bytes, such as VmRSS."""
        with open("/proc/%d/status" % self.pid) as f:
            for line in f:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        return 0


class Cluster:
    """with Cluster(3) as c: ... three founded nodes that answer."""

    def __init__(self, count=3, extra=(), folder=None, ready=True):
        expect(os.path.exists(SYNOD), "no %s; ./dev build makes it" % SYNOD)
        self.count = count
        self.extra = list(extra)
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="synod-e2e-")
        self.want_ready = ready
        self.nodes = []

    def addresses(self):
        first = free_ports(2 * self.count)
        return [(("127.0.0.1", first + i), ("127.0.0.1", first + self.count + i), ())
                for i in range(self.count)]

    def make_nodes(self):
        at = self.addresses()
        seeds = ",".join("%s:%d" % peer for _, peer, _ in at)
        start = ["--found", seeds] if self.count > 1 else ["--bootstrap"]
        self.nodes = [Node(i + 1, self.folder, client, peer, start, self.extra, prefix)
                      for i, (client, peer, prefix) in enumerate(at)]

    def __enter__(self):
        for attempt in range(3):
            try:
                self.make_nodes()
                for n in self.nodes:
                    n.start()
                if self.want_ready:
                    self.wait_ready(timeout=60.0)
                return self
            except Failure:
                if attempt == 2 or not self.port_was_taken():
                    self.close(failed=True)
                    raise
                self.start_over()
            except BaseException:
                self.close(failed=True)
                raise

    def port_was_taken(self):
        """Between free_ports and the start somebody else may have been quicker."""
        return any("in use" in n.log() for n in self.nodes if os.path.exists(n.log_path))

    def start_over(self):
        for n in self.nodes:
            n.kill()
            shutil.rmtree(n.dir, ignore_errors=True)
            os.remove(n.log_path)

    def __exit__(self, kind, *_):
        self.close(failed=kind is not None)

    def close(self, failed=False):
        for n in self.nodes:
            if n.alive():
                n.resume()
                n.kill()
        if failed:
            self.keep_logs()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def keep_logs(self):
        kept = os.path.join(ROOT, "build", "test", "e2e-logs")
        os.makedirs(kept, exist_ok=True)
        for n in self.nodes:
            if os.path.exists(n.log_path):
                name = os.path.join(kept, "%d-node%d.log" % (os.getpid(), n.number))
                shutil.copy(n.log_path, name)
                print("       log kept: %s" % os.path.relpath(name, ROOT))

    def __getitem__(self, number):
        return self.nodes[number - 1]

    def node_ready(self, n):
        if not n.alive():
            raise Failure("node %d ended; its log says: %s" %
                          (n.number, n.log().strip().split("\n")[-1]))
        info = n.call("CLUSTER", "INFO", timeout=2.0)
        return isinstance(info, bytes) and b"cluster_state:ok" in info

    def wait_ready(self, nodes=None, timeout=30.0):
        """Every partition has a leader in the eyes of each node, and a write works there."""
        started = time.monotonic()
        for n in nodes or self.nodes:
            wait_for("node %d ready" % n.number, lambda n=n: self.node_ready(n), timeout)
            wait_for("a write through node %d" % n.number,
                     lambda n=n: n.call("SET", "e2e:ready", "1") == "OK", timeout)
        return time.monotonic() - started

    def leader_of(self, key, via=None):
        """The node that leads a key's partition, as CLUSTER SLOTS tells it."""
        via = via or next(n for n in self.nodes if n.alive())
        with via.conn() as c:
            slot = c.call("CLUSTER", "KEYSLOT", key)
            for row in c.call("CLUSTER", "SLOTS"):
                if row[0] <= slot <= row[1]:
                    port, host = row[2][1], row[2][0].decode()
                    for n in self.nodes:
                        if n.client[1] == port and n.client[0] == host:
                            return n
        raise Failure("CLUSTER SLOTS names no leader of %s" % key)

    def key_led_by(self, node, stem="k", via=None):
        for i in range(10000):
            key = "%s%d" % (stem, i)
            if self.leader_of(key, via) is node:
                return key
        raise Failure("node %d leads nothing" % node.number)


def run(*command, check=True):
    return subprocess.run(command, check=check, capture_output=True, text=True)


class NetCluster(Cluster):
    """Node i has 10.231.1.i for peers and 10.231.2.i for clients. The bridges are in a
    namespace of their own, which the calling thread enters: nothing of the host's network
    is touched. Use it in a process that does nothing else."""

    def addresses(self):
        self.tag = "synod%d" % os.getpid()
        self.hub = self.tag + "h"
        self.spaces = [self.tag + "n%d" % (i + 1) for i in range(self.count)]
        for space in [self.hub] + self.spaces:
            run("ip", "netns", "add", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
        for net in (1, 2):
            bridge = "br%d" % net
            run("ip", "-n", self.hub, "link", "add", bridge, "type", "bridge")
            run("ip", "-n", self.hub, "addr", "add", "10.231.%d.254/24" % net, "dev", bridge)
            run("ip", "-n", self.hub, "link", "set", bridge, "up")
            for i, space in enumerate(self.spaces):
                near, far = "v%d-%d" % (net, i + 1), "e%d" % net
                run("ip", "-n", self.hub, "link", "add", near, "type", "veth", "peer", "name", far,
                    "netns", space)
                run("ip", "-n", self.hub, "link", "set", near, "master", bridge, "up")
                run("ip", "-n", space, "addr", "add", "10.231.%d.%d/24" % (net, i + 1), "dev", far)
                run("ip", "-n", space, "link", "set", far, "up")
        for space in self.spaces:
            self.rules_before_local(space)
        self.enter_hub()
        return [(("10.231.2.%d" % (i + 1), 7001), ("10.231.1.%d" % (i + 1), 17001),
                 ("ip", "netns", "exec", space)) for i, space in enumerate(self.spaces)]

    @staticmethod
    def rules_before_local(space):
        """So that a routing rule can refuse what arrives: the rule of local addresses comes
        later than such a rule, and established connections are looked up like others."""
        run("ip", "-n", space, "rule", "add", "pref", "100", "lookup", "local")
        run("ip", "-n", space, "rule", "del", "pref", "0")
        run("ip", "netns", "exec", space, "sysctl", "-qw", "net.ipv4.tcp_early_demux=0",
            "net.ipv4.ip_early_demux=0")

    def cut_way(self, sender, receiver):
        """Peer packets of one node vanish on arrival at another; the other way they go on."""
        run("ip", "-n", self.spaces[receiver.number - 1], "rule", "add", "pref", "50", "from",
            "10.231.1.%d" % sender.number, "blackhole")

    def heal_way(self, sender, receiver):
        run("ip", "-n", self.spaces[receiver.number - 1], "rule", "del", "pref", "50", "from",
            "10.231.1.%d" % sender.number)

    def enter_hub(self):
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/run/netns/" + self.hub) as f:
            expect(libc.setns(f.fileno(), 0x40000000) == 0, "cannot enter the namespace")

    def link(self, node, net, state):
        run("ip", "-n", self.hub, "link", "set", "v%d-%d" % (net, node.number), state)

    def cut_peers(self, node):
        """The node hears no other node; its clients still reach it."""
        self.link(node, 1, "down")

    def cut(self, node):
        self.link(node, 1, "down")
        self.link(node, 2, "down")

    def heal(self, node):
        self.link(node, 1, "up")
        self.link(node, 2, "up")

    def close(self, failed=False):
        super().close(failed)
        for space in getattr(self, "spaces", []) + ([self.hub] if hasattr(self, "hub") else []):
            run("ip", "netns", "del", space, check=False)


def can_make_namespaces():
    return os.geteuid() == 0 and shutil.which("ip") is not None and \
        run("ip", "netns", "list", check=False).returncode == 0
