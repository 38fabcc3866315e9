"""Histories as docs/format/history.md says: commands as they were sent, replies as they came.

Replies are read here into Python values that keep their RESP type: str is a simple string,
bytes a bulk string, int, float and bool themselves, None any null, Err an error, list and dict.
"""
import time

from resp import Err

PLAIN = frozenset(range(0x21, 0x7f)) - frozenset(b'"\\')
NAMED = {0x22: '\\"', 0x5c: "\\\\", 0x0a: "\\n", 0x0d: "\\r", 0x09: "\\t"}


def now_us():
    return time.monotonic_ns() // 1000


def word(b):
    """One word: bare where that is possible."""
    b = b if isinstance(b, bytes) else str(b).encode()
    if b and b != b">" and PLAIN.issuperset(b):
        return b.decode()
    return '"%s"' % "".join(NAMED.get(c) or (chr(c) if 0x20 <= c < 0x7f else "\\x%02x" % c)
                            for c in b)


def reply(value):
    """The tokens of a reply."""
    if value is None:
        return "_"
    if isinstance(value, Err):
        return "-" + word(value)
    if isinstance(value, str):
        return "+" + word(value)
    if isinstance(value, bytes):
        return "$" + word(value)
    if isinstance(value, bool):
        return "#t" if value else "#f"
    if isinstance(value, int):
        return ":%d" % value
    if isinstance(value, float):
        return ",%r" % value
    if isinstance(value, dict):
        return " ".join(["%%%d" % len(value)] +
                        [reply(x) for pair in value.items() for x in pair])
    return " ".join(["*%d" % len(value)] + [reply(x) for x in value])


def op_line(client, conn, call_us, return_us, words, outcome):
    """outcome: the tokens of a reply, or lost."""
    return "op %d %d %d %s %s > %s\n" % (client, conn, call_us,
                                         "-" if return_us is None else return_us,
                                         " ".join(map(word, words)), outcome)


class Notes:
    """The lines that are not operations: faults, and what is known of the nodes' wall clocks.
    Times of day drift against the monotonic clock: so each line allows for SLACK_MS, and is
    written anew now and then."""
    SLACK_MS = 10

    def __init__(self, path):
        self.file = open(path, "w")

    def note(self, text):
        self.file.write("note %d %s\n" % (now_us(), text.replace("\n", " ")))
        self.file.flush()

    @staticmethod
    def offset_ms():
        return (time.time_ns() - time.monotonic_ns()) // 1000000

    def wall(self, number, least_ns, most_ns, at=None):
        """Node's clock is ahead of the machine's by this much from now on."""
        base = self.offset_ms()
        self.file.write("wall %d n%d %d %d\n" % (
            now_us() if at is None else at, number, base + least_ns // 1000000 - self.SLACK_MS,
            base + most_ns // 1000000 + self.SLACK_MS))
        self.file.flush()

    def close(self):
        self.file.close()


class Incomplete(Exception):
    pass


def parse(buf, pos=0):
    """(value, where the next begins) of one RESP2 reply; Incomplete."""
    end = buf.find(b"\r\n", pos)
    if end < 0:
        raise Incomplete
    kind, rest, pos = buf[pos:pos + 1], buf[pos + 1:end], end + 2
    if kind == b"+":
        return rest.decode(), pos
    if kind == b"-":
        return Err(rest.decode("utf-8", "replace")), pos
    if kind == b":":
        return int(rest), pos
    if kind == b"$":
        size = int(rest)
        if size < 0:
            return None, pos
        if len(buf) < pos + size + 2:
            raise Incomplete
        return bytes(buf[pos:pos + size]), pos + size + 2
    if kind == b"*":
        count = int(rest)
        if count < 0:
            return None, pos
        items = []
        for _ in range(count):
            item, pos = parse(buf, pos)
            items.append(item)
        return items, pos
    raise ValueError("not RESP: %r" % bytes(buf[pos:pos + 60]))
