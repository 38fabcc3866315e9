"""One thread, many connections: the event loop under the recorded clients and the probe."""
import errno
import selectors
import socket
import time

from history import Incomplete, now_us, parse

CONNECT_S = 1.0  # then the next try: a node whose packets vanish never answers
RETRY_S = 0.05


def turned_away(value):
    """What a node says to a connection that it does not take, before anything was asked."""
    return str(value).startswith(("TRYAGAIN this node is stopping", "ERR max number of clients"))


class Link:
    """A connection that is made again and again. The owner's methods are called:
    ready(link): connected. answered(link, request, reply, at_us): in the order of the requests.
    down(link, requests): what was sent and is unanswered."""

    def __init__(self, loop, owner, addr):
        self.loop = loop
        self.owner = owner
        self.addr = addr
        self.sock = None
        self.state = "idle"
        self.wanted = True
        self.waiting = []  # requests without an answer
        self.out = b""
        self.buf = b""
        self.number = 0  # of the connection, never used again
        self.due = time.monotonic()  # when to act next: connect, give up, or be asked
        loop.links.append(self)

    def dial(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.loop.dialed += 1
        self.number = self.loop.dialed
        status = self.sock.connect_ex(self.addr)
        if status not in (0, errno.EINPROGRESS):
            self.drop()
            return
        self.state = "dialing"
        self.due = time.monotonic() + CONNECT_S
        self.loop.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def send(self, data, requests):
        """data is the bytes of all requests."""
        self.waiting.extend(requests)
        self.out += data
        self.flush()

    def flush(self):
        try:
            while self.out:
                self.out = self.out[self.sock.send(self.out):]
        except BlockingIOError:
            pass
        except OSError:
            self.drop()
            return
        self.loop.selector.modify(self.sock, selectors.EVENT_READ |
                                  (selectors.EVENT_WRITE if self.out else 0), self)

    def drop(self, after=RETRY_S):
        if self.state != "idle":
            self.loop.selector.unregister(self.sock)
        self.sock.close()
        waiting, self.waiting = self.waiting, []
        self.out = self.buf = b""
        self.state = "idle"
        self.due = time.monotonic() + after
        self.owner.down(self, waiting)

    def event(self, mask):
        if self.state == "dialing":
            if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
                self.drop()
                return
            self.state = "ready"
            self.loop.selector.modify(self.sock, selectors.EVENT_READ, self)
            self.due = time.monotonic()
            self.owner.ready(self)
        elif mask & selectors.EVENT_READ:
            self.receive()
        elif mask & selectors.EVENT_WRITE:
            self.flush()

    def receive(self):
        try:
            got = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        at_us = now_us()
        if not got:
            self.drop()
            return
        self.buf += got
        pos = 0
        try:
            while pos < len(self.buf):
                value, pos = parse(self.buf, pos)
                if not self.waiting:
                    if turned_away(value):
                        self.drop()
                        return
                    raise ValueError("a reply to nothing: %r" % (value,))
                self.owner.answered(self, self.waiting.pop(0), value, at_us)
        except Incomplete:
            pass
        except ValueError as e:
            self.loop.wrong.append("%s:%d: %s" % (self.addr + (e,)))
            self.drop()
            return
        self.buf = self.buf[pos:]


class Loop:
    def __init__(self, first_connection=0):
        self.selector = selectors.DefaultSelector()
        self.links = []
        self.dialed = first_connection
        self.wrong = []  # what no server may do

    def turn(self, most_s=0.05):
        """Act on what is due and on what arrived."""
        now = time.monotonic()
        soonest = now + most_s
        for link in self.links:
            if link.due <= now:
                self.act(link, now)
            soonest = min(soonest, link.due)
        for key, mask in self.selector.select(max(0.0, soonest - time.monotonic())):
            if key.data.sock is key.fileobj:
                key.data.event(mask)

    @staticmethod
    def act(link, now):
        link.due = now + 3600.0
        if link.state == "idle" and link.wanted:
            link.dial()
        elif link.state == "dialing":
            link.drop()
        elif link.state == "ready":
            link.owner.due(link, now)
