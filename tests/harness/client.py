"""A client that believes nothing: it hashes every body it gets."""

import hashlib
import http.client
import json
import re
import urllib.parse
from dataclasses import dataclass


@dataclass
class Response:
    status: int
    headers: dict      # names in lower case
    body: bytes
    complete: bool = True   # False: the connection broke before the body's end

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def cache(self):
        return self.headers.get("x-breakwater-cache")

    @property
    def digest(self):
        return self.headers.get("docker-content-digest")

    @property
    def error(self):
        """The first error of an OCI error body, checked for its form."""
        assert self.headers["content-type"].startswith("application/json"), self
        errors = self.json["errors"]
        assert errors and all({"code", "message", "detail"} <= set(item) for item in errors), errors
        assert all(isinstance(item["message"], str) and item["message"] for item in errors), errors
        return errors[0]


def digest_matches(digest, body):
    algorithm, _, value = digest.partition(":")
    return hashlib.new(algorithm, body).hexdigest() == value


def path_with(path, **query):
    query = {name: value for name, value in query.items() if value is not None}
    return path + ("?" + urllib.parse.urlencode(query) if query else "")


class Client:
    """Keeps one connection, as real clients do, and opens a new one when it was closed."""

    def __init__(self, host, port, timeout=60, retries=True):
        self.host, self.port, self.timeout, self.retries = host, port, timeout, retries
        self._connection = None

    def close(self):
        if self._connection:
            self._connection.close()
            self._connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def request(self, method, path, headers=None, body=None):
        """`body`: bytes, or an iterable of bytes to be sent as chunks."""
        for attempt in (1, 2):
            fresh = self._connection is None
            try:
                return self._exchange(method, path, headers or {}, body)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.close()
                again = self.retries and isinstance(body, (bytes, type(None)))
                if fresh or attempt == 2 or not again:
                    raise
        raise AssertionError("not reached")

    def _exchange(self, method, path, headers, body):
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        try:
            self._connection.request(method, path, headers=headers, body=body)
        except (ConnectionResetError, BrokenPipeError):
            if body is None:
                raise
            # It may have answered before it had the whole body.
        reply = self._connection.getresponse()
        complete = True
        try:
            content = reply.read()
        except http.client.IncompleteRead as broken:
            content, complete = broken.partial, False
        except ConnectionResetError:
            content, complete = b"", False
        if not complete or reply.will_close:
            self.close()
        response = Response(reply.status, joined(reply.getheaders()), content, complete)
        check(method, path, response)
        return response

    def get(self, path, **headers):
        return self.request("GET", path, {name.replace("_", "-"): value
                                          for name, value in headers.items()})

    def head(self, path, **headers):
        return self.request("HEAD", path, {name.replace("_", "-"): value
                                           for name, value in headers.items()})


def joined(headers):
    """By name; what comes in several lines becomes a list (RFC 9110, section 5.3)."""
    result = {}
    for name, value in headers:
        name = name.lower()
        result[name] = f"{result[name]}, {value}" if name in result else value
    return result


def check(method, path, response):
    """What must hold for every reply of a registry, whatever was asked."""
    found = re.fullmatch(r"/v2/.+/(manifests|blobs)/([^/?]+)(\?.*)?", path)
    if not found or response.status != 200:
        return
    digest = response.digest
    assert digest, f"{method} {path}: no Docker-Content-Digest"
    if ":" in found[2]:
        asked = urllib.parse.unquote(found[2])
        assert digest == asked, f"{method} {path}: answered with {digest}"
    if method == "GET" and response.complete:
        assert digest_matches(digest, response.body), \
            f"{method} {path}: {len(response.body)} bytes that are not {digest}"
        if "content-length" in response.headers:
            assert len(response.body) == int(response.headers["content-length"])
