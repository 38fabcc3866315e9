"""A cluster in a box: every node in a network namespace behind netbox, on a small disk of its
own in memory, with faultshim between it and its libc; so that network, disk and wall clock can
be hurt on any kernel.

Everything lives in namespaces of a process of its own (enter()): when that process ends, for
whatever reason, the kernel ends the nodes and takes back networks and mounts.
"""
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys

from cluster import HERE, ROOT, Cluster, Failure, expect, run

TOOLS = os.path.join(ROOT, "build", "release", "test", "e2e")
NETBOX = os.path.join(TOOLS, "netbox")
SHIM = os.path.join(TOOLS, "libfaultshim.so")
INSIDE = "SYNOD_E2E_INSIDE"
HUB = 0  # the port of the clients; node i is at port i
SHIM_FIELDS = ("wall_ns", "write_us", "sync_us", "write_errno", "sync_errno", "allocate_errno",
               "writes", "syncs", "slowed", "failed")


def missing():
    """What this machine lacks for a box, or None."""
    for word in ("ip", "unshare", "setpriv", "nsenter", "mount"):
        if shutil.which(word) is None:
            return "the command %s" % word
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun"
    for path in (NETBOX, SHIM):
        if not os.path.exists(path):
            return os.path.relpath(path, ROOT) + "; ./dev e2e makes it"
    try:
        if run(*wrapped(["true"]), check=False).returncode != 0:
            return "the right to make namespaces (root)"
    except OSError as e:
        return str(e)
    return None


def wrapped(command):
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["setpriv", "--pdeathsig", "KILL", "unshare"] + user + [
        "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"] + command


def enter(argv, quiet=None, bound_s=None):
    """Run this program again inside, and return its exit status. Its output goes to the file
    quiet, if one is given. The inner process ends with this one, and after bound_s seconds."""
    child = subprocess.Popen(wrapped([sys.executable] + argv), stdout=quiet, stderr=quiet,
                             env=dict(os.environ, **{INSIDE: "1"}))

    def end(*_):  # unshare itself is deaf to SIGTERM
        child.kill()
    before = signal.signal(signal.SIGTERM, end)
    try:
        return child.wait(bound_s)
    except subprocess.TimeoutExpired:
        return 124
    except KeyboardInterrupt:
        try:
            child.wait(30)  # it got the same Ctrl-C, and keeps what it has
        except subprocess.TimeoutExpired:
            pass
        return 130
    finally:
        child.kill()
        child.wait()
        signal.signal(signal.SIGTERM, before)


class Netbox:
    def __init__(self, count, seed):
        self.ports = count
        self.process = subprocess.Popen([NETBOX, str(count), str(seed)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise Failure("netbox did not start")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def way(self, sender, receiver, how):
        said = self.ask("way %d %d %s" % (sender, receiver, how))
        expect(said == "ok", "netbox: %s to %s" % (said, how))

    def heal(self):
        self.ask("heal")

    def stats(self):
        words = self.ask("stats").split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def close(self):
        self.process.kill()
        self.process.wait()


class Shim:
    """The file that faultshim.c reads, field by field."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(8 * len(SHIM_FIELDS)))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)

    def set(self, **fields):
        for name, value in fields.items():
            struct.pack_into("<q", self.map, 8 * SHIM_FIELDS.index(name), value)

    def get(self, name):
        return struct.unpack_from("<q", self.map, 8 * SHIM_FIELDS.index(name))[0]


class BoxCluster(Cluster):
    """Node i has 10.231.0.i for peers and clients alike; clients are at 10.231.0.254.
    disk_mib 0: directories below the folder, on whatever disk that is."""

    def __init__(self, count, folder, seed=1, extra=(), disk_mib=1024):
        super().__init__(count, extra, folder, ready=False)
        self.disk_mib = disk_mib
        self.seed = seed
        self.box = None
        self.shims = []

    def addresses(self):
        expect(os.environ.get(INSIDE), "not inside: enter() first")
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        os.makedirs("/run/netns")
        self.box = Netbox(self.count + 1, self.seed)
        run("ip", "link", "set", "lo", "up")
        for port in range(self.count + 1):
            self.wire(port)
        made = []
        for i in range(1, self.count + 1):
            made.append((("10.231.0.%d" % i, 7001), ("10.231.0.%d" % i, 17001),
                         ("nsenter", "--net=/run/netns/n%d" % i)))
        return made

    def wire(self, port):
        """A port's device into its namespace, with an address and all its neighbours: names are
        never asked for on the wire."""
        device, where = "tap%d" % port, []
        if port != HUB:
            run("ip", "netns", "add", "n%d" % port)
            run("ip", "link", "set", device, "netns", "n%d" % port)
            where = ["-n", "n%d" % port]
            run("ip", *where, "link", "set", "lo", "up")
        run("ip", *where, "link", "set", device, "address", self.mac(port), "up")
        run("ip", *where, "addr", "add", self.ip(port) + "/24", "dev", device)
        for other in range(self.count + 1):
            if other != port:
                run("ip", *where, "neigh", "add", self.ip(other), "lladdr", self.mac(other), "dev",
                    device, "nud", "permanent")

    @staticmethod
    def ip(port):
        return "10.231.0.%d" % (254 if port == HUB else port)

    @staticmethod
    def mac(port):
        return "02:00:00:00:00:%02x" % port

    def make_nodes(self):
        super().make_nodes()
        for n in self.nodes:
            shim = Shim(os.path.join(self.folder, "node%d.faults" % n.number))
            n.env = dict(os.environ, LD_PRELOAD=SHIM, SYNOD_FAULTS=shim.path)
            self.shims.append(shim)
            if self.disk_mib:
                run("mount", "-t", "tmpfs", "-o", "size=%dm" % self.disk_mib, "tmpfs", n.dir)

    def shim(self, node):
        return self.shims[node.number - 1]

    def close(self, failed=False):
        for n in self.nodes:
            n.kill()
            if self.disk_mib:  # or the folder could not be removed
                run("umount", n.dir, check=False)
        if self.box is not None:
            self.box.close()

