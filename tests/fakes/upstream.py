"""An upstream registry that can be told to misbehave.

    with Upstream() as upstream:
        image = upstream.add("library/alpine", "latest", images.image([1 << 20]))
        upstream.fail("blobs", faults.reset(after=4096), times=1)
        ...
        assert upstream.count("GET", "blobs") == 2

Every request is recorded, with its headers and its time. Standard library only.
As a program it serves random images until it is ended:

    PYTHONPATH=tests python3 -m fakes.upstream --port 5005 library/alpine:3.20 team/app:1
"""

import argparse
import base64
import collections
import contextlib
import json
import random
import re
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn

from fakes import images
from fakes.faults import BEFORE_HEAD, FOREVER, HANG, RESET, Reply
from fakes.ports import free_port

PIECE = 64 * 1024


@dataclass(frozen=True)
class Exchange:
    """One request that came, as it came."""
    method: str
    target: str
    headers: dict      # names in lower case
    kind: str          # ping, manifests, blobs, tags, referrers, token, cdn, other
    repository: str
    reference: str
    at: float = field(default_factory=time.monotonic)

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def authorization(self):
        return self.headers.get("authorization")


@dataclass
class Repository:
    manifests: dict = field(default_factory=dict)   # digest -> Manifest
    tags: dict = field(default_factory=dict)        # tag -> digest
    blobs: dict = field(default_factory=dict)       # digest -> bytes


class BasicAuth:
    """Every request under /v2/ needs a user's name and password."""

    def __init__(self, users):
        self.users = users

    def challenge(self, _upstream, _exchange):
        return 'Basic realm="fake"'

    def accepts(self, exchange):
        return user_of(exchange, self.users) is not None


class BearerAuth:
    """Tokens from a token service, here or at another Upstream (its `tokens`).

    `users` may get tokens for everything; without credentials one gets tokens
    only if `anonymous`, and never for what is `private`.
    """

    def __init__(self, users=None, anonymous=True, private=(), realm=None, service="fake",
                 expires_in=300, with_expiry=True, key="token"):
        self.users = users or {}
        self.anonymous = anonymous
        self.private = set(private)
        self.realm = realm
        self.service = service
        self.expires_in = expires_in
        self.with_expiry = with_expiry
        self.key = key
        self.issued = {}   # token -> (scopes, end)
        self._lock = threading.Lock()

    def challenge(self, upstream, exchange):
        realm = self.realm or f"{upstream.url}/token"
        scope = f',scope="repository:{exchange.repository}:pull"' if exchange.repository else ""
        return f'Bearer realm="{realm}",service="{self.service}"{scope}'

    def accepts(self, exchange):
        scheme, _, token = (exchange.authorization or "").partition(" ")
        with self._lock:
            scopes, end = self.issued.get(token, (set(), 0))
        return (scheme.lower() == "bearer" and time.monotonic() < end and
                (not exchange.repository or exchange.repository in scopes))

    def revoke(self):
        with self._lock:
            self.issued.clear()

    def issue(self, exchange):
        user = user_of(exchange, self.users)
        if exchange.authorization and user is None:
            return Reply(401, {"Content-Type": "application/json"}, b'{"details":"wrong password"}')
        if user is None and not self.anonymous:
            return Reply(401, {"Content-Type": "application/json"}, b'{"details":"log in first"}')
        wanted = re.findall(r"repository:([^:\s]+):pull", exchange.query.get("scope", ""))
        granted = {name for name in wanted if user is not None or name not in self.private}
        token = f"token-{random.getrandbits(64):016x}"
        with self._lock:
            self.issued[token] = (granted, time.monotonic() + self.expires_in)
        document = {self.key: token}
        if self.with_expiry:
            document["expires_in"] = self.expires_in
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


def user_of(exchange, users):
    scheme, _, value = (exchange.authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    name, _, password = base64.b64decode(value).decode().partition(":")
    return name if users.get(name) == password else None


@dataclass
class ActiveFault:
    kind: str
    change: object
    times: int | None
    method: str | None
    reference: str | None

    def applies(self, exchange):
        return (self.kind in ("all", exchange.kind) and self.times != 0 and
                self.method in (None, exchange.method) and
                self.reference in (None, exchange.reference))


class Upstream:
    """A registry on a port of its own, until the end of its `with`."""

    def __init__(self, auth=None, tls=False, host="127.0.0.1", port=None):
        self.auth = auth
        self.host = host
        self.port = port or free_port()
        self.scheme = "https" if tls else "http"
        self.repositories = {}
        self.exchanges = []
        self.active = collections.Counter()        # kind -> exchanges under way
        self.most_active = collections.Counter()   # and the most there ever were
        self.ranges = True             # False: Range is ignored
        self.referrers_api = True      # False: 404, as old registries answer
        self.page_size = 100
        self.blobs_at = None           # another Upstream: blobs are redirected to its /cdn/
        self.ratelimit = None          # (limit, remaining, window in seconds)
        self.ca_file = None
        self._faults = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._server = None
        self._certificate = tempfile.TemporaryDirectory() if tls else None
        if tls:
            self._make_certificate()

    def __enter__(self):
        self.accept()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self.refuse()
        if self._certificate:
            self._certificate.cleanup()

    @property
    def url(self):
        return f"{self.scheme}://{self.host}:{self.port}"

    # What it holds

    def repository(self, name):
        return self.repositories.setdefault(name, Repository())

    def add(self, name, tag, manifest):
        """Adds an image (or index, with its images) and returns it."""
        repository = self.repository(name)
        for child in manifest.children:
            self.add(name, None, child)
        repository.manifests[manifest.digest] = manifest
        repository.blobs.update(manifest.blobs)
        if tag is not None:
            repository.tags[tag] = manifest.digest
        return manifest

    def remove(self, name, reference):
        repository = self.repository(name)
        repository.tags.pop(reference, None)
        repository.manifests.pop(reference, None)
        repository.blobs.pop(reference, None)

    # How it behaves

    def fail(self, kind, change, times=None, method=None, reference=None):
        """From now on replies to `kind` are changed (the first `times` of them).

        Kinds: ping, manifests, blobs, tags, referrers, token, cdn, all. Faults
        are applied in the order they were set.
        """
        with self._changed:
            self._faults.append(ActiveFault(kind, change, times, method, reference))

    def heal(self):
        with self._changed:
            self._faults.clear()

    def refuse(self):
        """Closes the listener and every connection: who asks is refused."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut_connections()
            self._server = None

    def accept(self):
        """Listens (again), on the same port."""
        if self._server is None:
            self._server = _Server(self)
            if self._certificate:
                self._server.tls = self._tls_context()
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    # What was asked

    def asked(self, method=None, kind=None, reference=None, repository=None):
        with self._changed:
            return [exchange for exchange in self.exchanges
                    if method in (None, exchange.method) and kind in (None, exchange.kind) and
                    reference in (None, exchange.reference) and
                    repository in (None, exchange.repository)]

    def count(self, *args, **kwargs):
        return len(self.asked(*args, **kwargs))

    def forget(self):
        with self._changed:
            self.exchanges.clear()

    def wait_until(self, condition, timeout=30):
        """Waits until condition(self), looking after every request."""
        end = time.monotonic() + timeout
        while not condition(self):
            with self._changed:
                assert time.monotonic() < end, "the upstream was not asked in time"
                self._changed.wait(0.05)

    # Inside

    @contextlib.contextmanager
    def recorded(self, exchange):
        kind = exchange.kind
        with self._changed:
            self.exchanges.append(exchange)
            self.active[kind] += 1
            self.most_active[kind] = max(self.most_active[kind], self.active[kind])
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.active[kind] -= 1

    def faults_for(self, exchange):
        with self._changed:
            found = [fault for fault in self._faults if fault.applies(exchange)]
            for fault in found:
                if fault.times is not None:
                    fault.times -= 1
            return [fault.change for fault in found]

    def hang(self):
        self._stopping.wait(FOREVER)

    def _make_certificate(self):
        folder = Path(self._certificate.name)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=fake", "-addext",
             "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", folder / "key.pem",
             "-out", folder / "certificate.pem"], check=True, capture_output=True)
        self.ca_file = str(folder / "certificate.pem")

    def _tls_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca_file, str(Path(self.ca_file).with_name("key.pem")))
        return context


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, upstream):
        self.upstream = upstream
        self.tls = None
        self._open = set()
        super().__init__((upstream.host, upstream.port), _Handler)

    def finish_request(self, request, client_address):
        self._open.add(request)
        try:
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            pass   # a client that went away, or did not like the certificate

    def shutdown_request(self, request):
        # Not TCPServer's: its shutdown() would send FIN before a reset.
        self._open.discard(request)
        request.close()

    def cut_connections(self):
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        exchange = self._read_exchange()
        upstream = self.server.upstream
        with upstream.recorded(exchange):
            reply = answer(upstream, exchange)
            for change in upstream.faults_for(exchange):
                change(reply, exchange)
            try:
                self._send(reply)
            except OSError:
                self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _read_exchange(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        kind, repository, reference = classify(self.path.partition("?")[0])
        target = self.path
        if kind == "token" and body:
            target += ("&" if "?" in target else "?") + body.decode()
        return Exchange(self.command, target, headers, kind, repository, reference)

    def _send(self, reply):
        if reply.cut_after == BEFORE_HEAD:
            return self._cut(reply.cut_how)
        if reply.raw is not None:
            self.wfile.write(reply.raw)
            return self._cut("close")
        self._send_head(reply)
        if self.command != "HEAD":
            self._send_body(reply)
            if reply.cut_after is not None:
                self._cut(reply.cut_how)
        return None

    def _send_head(self, reply):
        lines = [f"HTTP/1.1 {reply.status} As told"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        if reply.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif reply.status not in (204, 304):
            length = len(reply.body) if reply.declared_length is None else reply.declared_length
            lines.append(f"Content-Length: {length}")
        self.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n")

    def _send_body(self, reply):
        content = memoryview(reply.body)
        if reply.cut_after is not None:
            content = content[:reply.cut_after]
        piece = max(1, int(reply.bytes_per_second / 20)) if reply.bytes_per_second else PIECE
        gates = sorted(reply.gates, key=lambda gate: gate.at)
        sent = 0
        while True:
            while gates and gates[0].at <= sent:
                gates.pop(0).wait()
            if sent >= len(content):
                break
            end = min(sent + piece, len(content), *(gate.at for gate in gates[:1]))
            self._send_piece(content[sent:end], reply.chunked)
            if reply.bytes_per_second:
                time.sleep((end - sent) / reply.bytes_per_second)
            sent = end
        if reply.chunked and reply.cut_after is None:
            self.wfile.write(b"0\r\n\r\n")

    def _send_piece(self, piece, chunked):
        if chunked:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        else:
            self.wfile.write(piece)

    def _cut(self, how):
        self.close_connection = True
        if how == HANG:
            self.server.upstream.hang()
        if how == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # The files keep the descriptor open: without this close() sends nothing.
            self.rfile.close()
            self.connection.close()


def classify(path):
    """(kind, repository, reference) of a path."""
    if path in ("/v2", "/v2/"):
        return "ping", "", ""
    if path == "/token":
        return "token", "", ""
    if path.startswith("/cdn/"):
        return "cdn", "", path.removeprefix("/cdn/")
    found = re.fullmatch(r"/v2/(.+)/(manifests|blobs|referrers|tags)/([^/]+)", path)
    if not found:
        return "other", "", ""
    repository, kind, reference = found.groups()
    return kind, repository, reference


def answer(upstream, exchange):
    """The reply of a registry in good health."""
    if exchange.kind == "token" and isinstance(upstream.auth, BearerAuth):
        return upstream.auth.issue(exchange)
    if exchange.kind not in ("cdn", "token", "other") and upstream.auth:
        if not upstream.auth.accepts(exchange):
            reply = error(401, "UNAUTHORIZED")
            reply.headers["WWW-Authenticate"] = upstream.auth.challenge(upstream, exchange)
            return reply
    if exchange.method not in ("GET", "HEAD"):
        return error(405, "UNSUPPORTED")
    reply = ANSWERS[exchange.kind](upstream, exchange)
    reply.headers.setdefault("Docker-Distribution-Api-Version", "registry/2.0")
    if upstream.ratelimit and exchange.kind == "manifests":
        limit, remaining, window = upstream.ratelimit
        reply.headers["ratelimit-limit"] = f"{limit};w={window}"
        reply.headers["ratelimit-remaining"] = f"{remaining};w={window}"
    return reply


def error(status, code):
    body = json.dumps({"errors": [{"code": code, "message": "the fake upstream says so"}]}).encode()
    return Reply(status, {"Content-Type": "application/json"}, body)


def answer_ping(_upstream, _exchange):
    return Reply(200, {"Content-Type": "application/json"}, b"{}")


def answer_manifest(upstream, exchange):
    repository = upstream.repositories.get(exchange.repository)
    if repository is None:
        return error(404, "NAME_UNKNOWN")
    digest = repository.tags.get(exchange.reference, exchange.reference)
    manifest = repository.manifests.get(digest)
    if manifest is None:
        return error(404, "MANIFEST_UNKNOWN")
    return Reply(200, {"Content-Type": manifest.media_type, "Docker-Content-Digest": digest,
                       "ETag": f'"{digest}"'}, manifest.body)


def answer_blob(upstream, exchange):
    repository = upstream.repositories.get(exchange.repository)
    content = repository.blobs.get(exchange.reference) if repository else None
    if content is None:
        return error(404, "BLOB_UNKNOWN")
    if upstream.blobs_at:
        location = f"{upstream.blobs_at.url}/cdn/{exchange.reference}?X-Signature=secret"
        return Reply(307, {"Location": location})
    return blob_reply(upstream, exchange, content)


def answer_cdn(upstream, exchange):
    if exchange.authorization:   # as S3 does with two ways to authenticate
        return error(400, "UNSUPPORTED")
    for repository in upstream.repositories.values():
        if exchange.reference in repository.blobs:
            return blob_reply(upstream, exchange, repository.blobs[exchange.reference])
    return error(404, "BLOB_UNKNOWN")


def blob_reply(upstream, exchange, content):
    headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": exchange.reference}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", exchange.headers.get("range", ""))
    if not wanted or not upstream.ranges:
        return Reply(200, headers, content)
    first = int(wanted[1])
    last = min(int(wanted[2] or len(content) - 1), len(content) - 1)
    if first > last:
        return Reply(416, {"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
    return Reply(206, headers, content[first:last + 1])


def answer_tags(upstream, exchange):
    repository = upstream.repositories.get(exchange.repository)
    if repository is None or exchange.reference != "list":
        return error(404, "NAME_UNKNOWN")
    size = min(int(exchange.query.get("n", upstream.page_size)), upstream.page_size)
    after = [tag for tag in sorted(repository.tags) if tag > exchange.query.get("last", "")]
    headers = {"Content-Type": "application/json"}
    if len(after) > size:
        following = urllib.parse.urlencode({"n": size, "last": after[size - 1]})
        headers["Link"] = f'</v2/{exchange.repository}/tags/list?{following}>; rel="next"'
    body = json.dumps({"name": exchange.repository, "tags": after[:size]}).encode()
    return Reply(200, headers, body)


def answer_referrers(upstream, exchange):
    repository = upstream.repositories.get(exchange.repository)
    if repository is None or not upstream.referrers_api:
        return error(404, "NAME_UNKNOWN")
    wanted = exchange.query.get("artifactType")
    found = []
    for manifest in repository.manifests.values():
        document = manifest.document
        if document.get("subject", {}).get("digest") != exchange.reference:
            continue
        if wanted in (None, document.get("artifactType")):
            found.append(images.descriptor(manifest.body, manifest.media_type,
                                           artifactType=document.get("artifactType")))
    headers = {"Content-Type": images.OCI_INDEX}
    if wanted:
        headers["OCI-Filters-Applied"] = "artifactType"
    body = json.dumps({"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": found})
    return Reply(200, headers, body.encode())


def answer_other(_upstream, _exchange):
    return error(404, "UNSUPPORTED")


ANSWERS = {"ping": answer_ping, "manifests": answer_manifest, "blobs": answer_blob,
           "cdn": answer_cdn, "tags": answer_tags, "referrers": answer_referrers,
           "token": answer_other, "other": answer_other}


def main():
    parser = argparse.ArgumentParser(description="A registry with random images, to cache from.")
    parser.add_argument("--port", type=int, default=None)
    parser.add_argument("--layer-size", type=int, default=1 << 20)
    parser.add_argument("images", nargs="+", metavar="NAME:TAG")
    options = parser.parse_args()
    with Upstream(port=options.port) as upstream:
        for number, name in enumerate(options.images):
            repository, _, tag = name.rpartition(":")
            image = upstream.add(repository, tag, images.image([options.layer_size], seed=number))
            print(f"{name} {image.digest}")
        print(f"serving on {upstream.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
