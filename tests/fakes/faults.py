"""What can be wrong with an upstream's reply.

A fault is a function that changes a Reply before it is sent. Set one with
Upstream.fail(kind, fault): see there for the kinds.
"""

import threading
from dataclasses import dataclass, field

# How a reply that is cut ends.
RESET, CLOSE, HANG = "reset", "close", "hang"

BEFORE_HEAD = -1
FOREVER = 120  # seconds after which even a hanging thread of a test goes away


class Gate:
    """Holds a body back after its first `at` bytes until open() is called."""

    def __init__(self, at):
        self.at = at
        self.reached = threading.Event()
        self._opened = threading.Event()

    def open(self):
        self._opened.set()

    def wait(self):
        self.reached.set()
        self._opened.wait(FOREVER)


@dataclass
class Reply:
    status: int
    headers: dict
    body: bytes = b""
    declared_length: int | None = None   # Content-Length; None: the body's own
    cut_after: int | None = None         # bytes of the body, or BEFORE_HEAD
    cut_how: str = CLOSE
    bytes_per_second: float | None = None
    gates: list = field(default_factory=list)
    chunked: bool = False
    raw: bytes | None = None             # sent instead of an HTTP reply


def reset(after=BEFORE_HEAD):
    def change(reply, _):
        reply.cut_after, reply.cut_how = after, RESET
    return change


def hang(after=BEFORE_HEAD):
    def change(reply, _):
        reply.cut_after, reply.cut_how = after, HANG
    return change


def truncate(after=None):
    """Ends in an orderly way, but early: after half of the body unless told."""
    def change(reply, _):
        reply.declared_length = len(reply.body)
        reply.cut_after = len(reply.body) // 2 if after is None else after
        reply.cut_how = CLOSE
    return change


def status(code, body=b"<html>out of order</html>", **headers):
    def change(reply, _):
        reply.status = code
        reply.body = body
        reply.headers = {"Content-Type": "text/html"}
        reply.headers.update({name.replace("_", "-"): str(value) for name, value in headers.items()})
    return change


def slow(bytes_per_second):
    def change(reply, _):
        reply.bytes_per_second = bytes_per_second
    return change


def corrupt(at=None):
    """One byte differs; the length is right. In the middle of the body unless told."""
    def change(reply, _):
        where = len(reply.body) // 2 if at is None else at
        if reply.body:
            changed = bytearray(reply.body)
            changed[where] ^= 0x01
            reply.body = bytes(changed)
    return change


def wrong_length(delta):
    """Says delta bytes more (or fewer) than there are, and closes."""
    def change(reply, _):
        reply.declared_length = len(reply.body) + delta
        reply.cut_after, reply.cut_how = len(reply.body), CLOSE
    return change


def shortened(by=1):
    """A whole and orderly reply, whose body lacks its last bytes."""
    def change(reply, _):
        reply.body = reply.body[:-by]
    return change


def lengthened(by=1):
    def change(reply, _):
        reply.body += b"x" * by
    return change


def redirect_forever(code=302):
    def change(reply, exchange):
        path, _, number = exchange.target.partition("?again=")
        reply.status, reply.body = code, b""
        reply.headers = {"Location": f"{path}?again={int(number or 0) + 1}"}
    return change


def redirect_to(location, code=307):
    """To a URL, or to what a function of the exchange makes of it."""
    def change(reply, exchange):
        target = location(exchange) if callable(location) else location
        reply.status, reply.body = code, b""
        reply.headers = {"Location": target}
    return change


def challenge(realm, service="registry", scope="repository:victim:pull", scheme="Bearer"):
    """A 401 whose token realm is somebody else's."""
    value = f'{scheme} realm="{realm}",service="{service}",scope="{scope}"'
    return status(401, WWW_Authenticate=value)


def header(name, value):
    def change(reply, _):
        reply.headers[name] = value
    return change


def without_header(name):
    def change(reply, _):
        reply.headers.pop(name, None)
    return change


def giant_headers(count=2000, size=1000):
    def change(reply, _):
        reply.headers.update({f"X-Padding-{number}": "p" * size for number in range(count)})
    return change


def giant_body(size, media_type=None):
    def change(reply, _):
        reply.body = b" " * size
        reply.headers.pop("Docker-Content-Digest", None)
        if media_type:
            reply.headers["Content-Type"] = media_type
    return change


def body(content, media_type=None):
    def change(reply, _):
        reply.body = content
        reply.headers.pop("Docker-Content-Digest", None)
        if media_type:
            reply.headers["Content-Type"] = media_type
    return change


def chunked():
    def change(reply, _):
        reply.chunked = True
    return change


def garbage(content=b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n"):
    def change(reply, _):
        reply.raw = content
    return change


def gate(a_gate):
    def change(reply, _):
        reply.gates.append(a_gate)
    return change


def hold(a_gate):
    """Sends nothing at all, not even the head, until the gate is opened."""
    def change(_reply, _exchange):
        a_gate.wait()
    return change
