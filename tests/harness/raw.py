"""Requests byte by byte, for what no well-behaved client would send."""

import contextlib
import http.client
import socket

from harness.client import Response


class Stream:
    """A GET whose body is read piece by piece."""

    def __init__(self, port, path, headers=None, timeout=30):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        self.connection.request("GET", path, headers=headers or {})
        self._reply = None
        self.received = b""

    @property
    def reply(self):
        if self._reply is None:
            self._reply = self.connection.getresponse()
        return self._reply

    @property
    def status(self):
        return self.reply.status

    def header(self, name):
        return self.reply.getheader(name)

    def read(self, size):
        """Waits for exactly size bytes more."""
        while size > 0:
            piece = self.reply.read1(size)
            assert piece, f"the body ended after {len(self.received)} bytes"
            self.received += piece
            size -= len(piece)
        return self.received

    def rest(self):
        """Everything up to the end; an end that comes too early is an IncompleteRead."""
        self.received += self.reply.read()
        return self.received

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def exchange(port, request, timeout=10):
    """Sends bytes, returns all that comes until the other side closes (or is silent)."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(request)
        return read_all(connection)


def read_all(connection):
    received = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while piece := connection.recv(1 << 16):
            received += piece
    return received


def parse(received):
    """The first response in the bytes, and what follows it."""
    head, _, rest = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", len(rest)))
    return Response(status, headers, rest[:length]), rest[length:]
