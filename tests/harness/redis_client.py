"""Redis as tests ask it (RESP2): a connection a call, standard library only."""

import socket


class RedisError(Exception):
    """What the server answered with a minus in front."""


class RedisClient:
    def __init__(self, port, host="127.0.0.1", password=None, timeout=10, database=0):
        self.host, self.port, self.password, self.timeout = host, port, password, timeout
        self.database = database

    def __call__(self, *words):
        """redis("SET", "key", "value"): text, number, list or None, as it answers."""
        with socket.create_connection((self.host, self.port), self.timeout) as connection, \
                connection.makefile("rb") as stream:
            if self.password:
                self._send(connection, "AUTH", self.password)
                self._read(stream)
            if self.database:
                self._send(connection, "SELECT", self.database)
                self._read(stream)
            self._send(connection, *words)
            return self._read(stream)

    @staticmethod
    def _send(connection, *words):
        encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        connection.sendall(b"*%d\r\n" % len(encoded)
                           + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))

    def _read(self, stream):
        line = stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed in the middle of an answer")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise RedisError(rest)
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._bulk(stream, int(rest))
        if kind == b"*":
            return None if rest == "-1" else [self._read(stream) for _ in range(int(rest))]
        raise RedisError(f"not RESP2: {line!r}")

    @staticmethod
    def _bulk(stream, length):
        content = stream.read(length + 2)
        if len(content) != length + 2:
            raise ConnectionResetError("the server closed in the middle of an answer")
        return content[:-2].decode(errors="surrogateescape")

    def info(self, section):
        return dict(line.split(":", 1) for line in self("INFO", section).splitlines() if ":" in line)
