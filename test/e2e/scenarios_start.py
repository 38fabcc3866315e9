"""Starting wrongly: a clear sentence, an exit status, nothing lost."""
import socket
import subprocess

from cluster import SYNOD, Cluster, Node, expect, free_ports
from scenarios_basic import short


def run_server(*args, timeout=10):
    """(status, everything it said) of a start that should fail by itself."""
    try:
        out = subprocess.run([SYNOD] + list(args), capture_output=True, text=True, timeout=timeout,
                             stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as e:
        return None, "still runs; said: %s" % (e.stderr or b"")[-200:]
    return out.returncode, out.stdout + out.stderr


def refused(what, args, *words):
    status, said = run_server(*args)
    expect(status not in (None, 0), "%s: exit status %s; %s" % (what, status, said[-200:]))
    expect(status > 0, "%s: died of signal %d: %s" % (what, -status, said[-200:]))
    for word in words:
        expect(word.lower() in said.lower(), "%s: the error does not name %s: %s" %
               (what, word, said[-300:]))
    return said.strip().split("\n")[-1]


@short
def scenario_flags():
    """Unknown flags, words and values are refused by name"""
    port = free_ports(2)
    at = "127.0.0.1:%d" % port
    folder = "/nonexistent/synod"
    rows = [
        ("an unknown word", ["frobnicate"], "frobnicate"),
        ("an unknown flag", ["server", "--frobnicate", "1"], "--frobnicate"),
        ("a flag without its value", ["server", "--dir"], "--dir"),
        ("no directory", ["server", "--listen", at, "--bootstrap"], "--dir"),
        ("an address that is none", ["server", "--dir", folder, "--listen", "nowhere"], "nowhere"),
        ("a port that is none", ["server", "--dir", folder, "--listen", "127.0.0.1:99999"],
         "99999"),
        ("an io that is none", ["server", "--dir", folder, "--listen", at, "--io", "kqueue"],
         "kqueue"),
        ("a directory that cannot be", ["server", "--dir", "/proc/none", "--listen", at,
                                        "--bootstrap"], "/proc/none"),
        ("a demo flag", ["demo", "--nodez", "3"], "--nodez"),
        ("a sim flag", ["sim", "cluster", "--sed", "3"], "--sed"),
    ]
    for what, args, word in rows:
        refused(what, args, word)
    for args in (["--help"], ["server", "--help"], ["--version"]):
        status, said = run_server(*args)
        expect(status == 0 and said, "%s: exit status %s" % (" ".join(args), status))
    return "%d refusals" % len(rows)


@short
def scenario_second():
    """A second process on the same directory, a port in use: refused, the first goes on"""
    with Cluster(1) as c:
        n = c[1]
        n.call("SET", "a", "1")
        spare = free_ports(2)
        said = refused("a second process", [
            "server", "--dir", n.dir, "--listen", "127.0.0.1:%d" % spare, "--peer",
            "127.0.0.1:%d" % (spare + 1), "--bootstrap"], n.dir)
        other = Node(2, c.folder, n.client, ("127.0.0.1", spare), ["--bootstrap"])
        refused("a port in use", other.command()[1:], str(n.client[1]))
        with socket.socket() as s:
            s.bind(("127.0.0.1", spare + 1))
            s.listen()
            other = Node(3, c.folder, ("127.0.0.1", spare), ("127.0.0.1", spare + 1),
                         ["--bootstrap"])
            refused("a peer port in use", other.command()[1:], str(spare + 1))
        expect(n.call("GET", "a") == b"1", "the first process was hurt")
    return said[-160:]
