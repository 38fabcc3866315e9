"""A small RESP2 and RESP3 client over a raw socket, for tests: nothing is hidden, nothing
is retried, and an error reply is a value, not an exception."""
import socket


class Err(str):
    """An error reply; kind is its first word."""

    @property
    def kind(self):
        return self.split(" ", 1)[0]


class Closed(Exception):
    """The other side is gone. sent: whether the request may have reached it."""

    def __init__(self, why, sent):
        super().__init__(why)
        self.sent = sent


class Push(list):
    """An out-of-band RESP3 message."""


def encode(*args):
    out = [b"*%d\r\n" % len(args)]
    for a in args:
        b = a if isinstance(a, bytes) else str(a).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(b), b))
    return b"".join(out)


class Conn:
    def __init__(self, addr, timeout=5.0):
        self.addr = addr
        try:
            self.sock = socket.create_connection(addr, timeout)
        except OSError as e:
            raise Closed("connect %s:%d: %s" % (addr[0], addr[1], e), False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = b""
        self.pos = 0

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as e:
            raise Closed("send: %s" % e, True)

    def _more(self):
        try:
            got = self.sock.recv(1 << 20)
        except socket.timeout:
            raise Closed("no answer within %s s" % self.sock.gettimeout(), True)
        except OSError as e:
            raise Closed("recv: %s" % e, True)
        if not got:
            raise Closed("closed by the server", True)
        self.buf = self.buf[self.pos:] + got
        self.pos = 0

    def _line(self):
        while True:
            at = self.buf.find(b"\r\n", self.pos)
            if at >= 0:
                line = self.buf[self.pos:at]
                self.pos = at + 2
                return line
            self._more()

    def _exact(self, count):
        while len(self.buf) - self.pos < count + 2:
            self._more()
        data = self.buf[self.pos:self.pos + count]
        self.pos += count + 2
        return data

    def read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Err(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind in (b"$", b"!", b"="):
            if rest == b"-1":
                return None
            data = self._exact(int(rest))
            return Err(data.decode()) if kind == b"!" else data
        if kind in (b"*", b"~", b">"):
            if rest == b"-1":
                return None
            items = [self.read() for _ in range(int(rest))]
            return Push(items) if kind == b">" else items
        if kind in (b"%", b"|"):
            pairs = [(self.read(), self.read()) for _ in range(int(rest))]
            return {k if not isinstance(k, list) else tuple(k): v for k, v in pairs}
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        if kind == b"(":
            return int(rest)
        raise AssertionError("not RESP: %r" % line[:80])

    def call(self, *args):
        self.send(encode(*args))
        return self.read()

    def pipeline(self, requests):
        self.send(b"".join(encode(*r) for r in requests))
        return [self.read() for _ in requests]
