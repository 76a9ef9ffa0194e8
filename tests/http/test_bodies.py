"""Bodies of requests, byte by byte: how they are asked for, cut, broken, and followed."""

import contextlib
import hashlib
import json
import socket
import time

import pytest

from fakes.images import digest_of
from harness.push import Repository, path_of
from harness.raw import parse
from harness.server import NAME, SANITIZED

UPSTREAMS = {NAME: {"urls": ["http://127.0.0.1:9"]}}   # never asked
CONTENT = bytes(range(256)) * 40
MANIFEST_MAX = 4 << 20
IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture
def server(serve):
    return serve(upstreams=UPSTREAMS)


@pytest.fixture
def repository(server):
    repository = Repository(server, "team/app")
    yield repository
    repository.close()


class Connection:
    """A socket that requests are written to, and answers are read from one by one."""

    def __init__(self, server, timeout=20):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=timeout)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece)

    def _fill(self):
        piece = self.socket.recv(1 << 16)
        self.received += piece
        return bool(piece)

    def answer(self):
        """The next answer, interim ones included; None when the connection ended instead."""
        while b"\r\n\r\n" not in self.received:
            if not self._fill():
                return None
        status = int(self.received.split(b" ", 2)[1])
        if status < 200 or status == 204:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            return parse(head + b"\r\n\r\n")[0]
        while True:
            response, rest = parse(self.received)
            if len(response.body) == int(response.headers["content-length"]):
                self.received = rest
                return response
            assert self._fill(), "the answer broke off"

    def is_silent(self, seconds=0.3):
        """Nothing came, and the connection is open."""
        if self.received:
            return False
        self.socket.settimeout(seconds)
        try:
            self.received += self.socket.recv(1 << 16)
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(20)

    def assert_closed(self):
        """The other side closed (or reset) it, and had nothing more to say."""
        with contextlib.suppress(ConnectionResetError):
            assert self.socket.recv(1 << 16) == b""


def request(method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def chunks(content, size):
    pieces = [content[at:at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def whole(content, *lines):
    """A POST that pushes all of it."""
    return request("POST", f"/v2/team/app/blobs/uploads/?digest={digest_of(content)}", *lines)


# Expect: 100-continue


def test_a_client_that_waits_is_told_to_go_on(server, repository):
    with Connection(server) as connection:
        connection.send(whole(CONTENT, f"Content-Length: {len(CONTENT)}", "Expect: 100-continue"))
        assert connection.answer().status == 100
        connection.send(CONTENT)
        assert connection.answer().status == 201
        assert connection.is_silent()
    assert repository.blob(digest_of(CONTENT)).body == CONTENT


def test_a_client_that_does_not_wait_is_told_nothing(server):
    with Connection(server) as connection:
        connection.send(whole(CONTENT, f"Content-Length: {len(CONTENT)}", "Expect: 100-continue")
                        + CONTENT)
        assert connection.answer().status == 201


@pytest.mark.parametrize("path, status", [
    ("/v2/team/app/blobs/uploads/none", 404),
    ("/v2/team/app/tags/list", 405),
    ("/v2/Team/blobs/uploads/none", 400),
])
def test_a_client_whose_body_is_not_wanted_is_not_told_to_go_on(server, path, status):
    began = time.monotonic()
    with Connection(server) as connection:
        connection.send(request("PATCH", path, "Content-Length: 1000000000",
                                "Expect: 100-continue"))
        response = connection.answer()
        assert response.status == status
        assert response.headers["connection"] == "close"
        connection.assert_closed()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("value", ["200-ok", "100-continue, other", ""])
def test_other_expectations_fail(server, value):
    with Connection(server) as connection:
        connection.send(whole(CONTENT, "Content-Length: 5", f"Expect: {value}"))
        assert connection.answer().status == 417
        connection.send(b"hello")
        connection.assert_closed()


def test_no_body_is_nothing_to_wait_for(server):
    with Connection(server) as connection:
        connection.send(request("POST", "/v2/team/app/blobs/uploads/", "Content-Length: 0",
                                "Expect: 100-continue"))
        assert connection.answer().status == 202


# The chunked coding


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_chunks(server, repository, size):
    content = CONTENT[:2000] if size == 1 else CONTENT * 30
    with Connection(server) as connection:
        connection.send(whole(content, "Transfer-Encoding: chunked"), chunks(content, size))
        assert connection.answer().status == 201
        connection.send(request("GET", "/v2/"))
        assert connection.answer().status == 200
    assert repository.blob(digest_of(content)).body == content


def test_chunks_with_extensions_and_a_trailer(server, repository):
    with Connection(server) as connection:
        connection.send(whole(b"hello", "Transfer-Encoding: chunked"),
                        b"5;name=value\r\nhello\r\n0;last\r\nX-Trailer: y\r\n\r\n")
        assert connection.answer().status == 201


SMUGGLED = request("GET", "/v2/team/app/blobs/smuggled")


@pytest.mark.parametrize("body", [
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"-1\r\nhello\r\n0\r\n\r\n",
    b"\r\nhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"x" * 10_000 + b"\r\nhello\r\n0\r\n\r\n",
    b"0" * 10_000 + b"5\r\nhello\r\n0\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\n",
    b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
], ids=lambda body: repr(body[:30]))
def test_malformed_chunks(server, repository, body):
    """400, nothing is stored, and what was smuggled behind is not answered."""
    with Connection(server) as connection:
        with contextlib.suppress(OSError):
            connection.send(whole(b"hello", "Transfer-Encoding: chunked") + body + SMUGGLED)
        response = connection.answer()
        assert response.status == 400
        assert response.headers["connection"] == "close"
        assert response.error["message"]
        connection.assert_closed()
    assert repository.blob(digest_of(b"hello")).status == 404


# Bodies that break off


@pytest.mark.parametrize("lines, body", [
    (["Content-Length: 5000"], CONTENT[:3000]),
    (["Transfer-Encoding: chunked"], b"1388\r\n" + CONTENT[:3000]),
    (["Transfer-Encoding: chunked"], b"bb8\r\n" + CONTENT[:3000] + b"\r\n"),
    (["Transfer-Encoding: chunked"], b"bb8\r\n" + CONTENT[:3000] + b"\r\n0\r\n"),
    (["Content-Length: 5000", "Expect: 100-continue"], b""),
])
def test_a_body_that_breaks_off_is_not_pushed(server, repository, lines, body):
    content = CONTENT[:3000]
    with Connection(server) as connection:
        connection.send(whole(content, *lines) + body)
    server.wait_until(lambda: "cut short" in server.stderr())
    assert repository.blob(digest_of(content)).status == 404
    line = next(line for line in server.log_lines() if "cut short" in line["msg"])
    assert (line["level"], line["http.response.status"]) == ("info", 499)


def test_a_chunk_that_breaks_off_stays_at_what_came(server, repository):
    upload = repository.begin()
    with Connection(server) as connection:
        connection.send(request("PATCH", upload.location, "Content-Length: 10000") + CONTENT[:6000])
    server.wait_until(lambda: "cut short" in server.stderr())
    offset = upload.offset
    assert offset <= 6000
    assert upload.patch(CONTENT[offset:], offset).status == 202
    assert upload.put(digest_of(CONTENT)).status == 201
    assert repository.blob(digest_of(CONTENT)).body == CONTENT


@pytest.mark.timeout(120)
def test_a_sender_that_stalls_is_given_up(server):
    """Its worker is free again after pace.h's half minute."""
    began = time.monotonic()
    with Connection(server, timeout=60) as connection:
        connection.send(whole(CONTENT, f"Content-Length: {len(CONTENT)}") + CONTENT[:100])
        response = connection.answer()
        assert response.status == 408
        assert response.headers["connection"] == "close"
        connection.assert_closed()
    assert 25 < time.monotonic() - began < 50


def test_stopping_does_not_wait_for_a_sender_that_stalls(serve):
    server = serve(upstreams=UPSTREAMS, config={"http": {"drainTimeout": "1s"}})
    with Connection(server) as connection:
        connection.send(whole(CONTENT, f"Content-Length: {len(CONTENT)}") + CONTENT[:100])
        assert connection.is_silent()
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 10
        connection.assert_closed()


def test_a_push_that_goes_on_is_waited_for(serve):
    server = serve(upstreams=UPSTREAMS, config={"http": {"drainTimeout": "20s"}})
    with Connection(server) as connection:
        connection.send(whole(CONTENT, f"Content-Length: {len(CONTENT)}") + CONTENT[:100])
        assert connection.is_silent()
        server.signal(15)
        server.wait_until(lambda: server.admin("/readyz").status == 503)
        connection.send(CONTENT[100:])
        response = connection.answer()
        assert response.status == 201
        assert response.headers["connection"] == "close"
    assert server.stop() == 0


# What follows


@pytest.mark.parametrize("chunked", [False, True])
def test_a_connection_is_kept_after_a_push(server, chunked):
    body = chunks(CONTENT, 1000) if chunked else CONTENT
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(CONTENT)}"
    with Connection(server) as connection:
        for _ in range(3):
            connection.send(whole(CONTENT, length), body)
            response = connection.answer()
            assert response.status == 201
            assert "connection" not in response.headers


@pytest.mark.parametrize("chunked", [False, True])
def test_requests_behind_a_body_are_answered_in_turn(server, chunked):
    """All in one write: where a body ends, the next request begins, to the byte."""
    body = chunks(CONTENT, 3000) if chunked else CONTENT
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(CONTENT)}"
    push = whole(CONTENT, length) + body
    blob = request("GET", f"/v2/team/app/blobs/{digest_of(CONTENT)}")
    with Connection(server) as connection:
        connection.send(push + blob + push + request("GET", "/v2/") + blob)
        answers = [connection.answer() for _ in range(5)]
        assert [answer.status for answer in answers] == [201, 200, 201, 200, 200]
        assert answers[1].body == answers[4].body == CONTENT
        assert connection.is_silent()


@pytest.mark.parametrize("cut", [0, 1, 5, 100, 9999])
def test_where_the_bytes_are_cut_does_not_matter(server, cut):
    body = chunks(CONTENT, 3000)
    message = whole(CONTENT, "Transfer-Encoding: chunked") + body + request("GET", "/v2/")
    with Connection(server) as connection:
        connection.send(message[:len(message) - len(body) + cut])
        assert connection.is_silent(0.05)
        connection.send(message[len(message) - len(body) + cut:])
        assert [connection.answer().status for _ in range(2)] == [201, 200]


def test_a_small_body_that_was_refused_does_not_cost_the_connection(server):
    refused = request("PUT", "/v2/team/app/blobs/uploads/none?digest=" + digest_of(b"hello"),
                      "Content-Length: 5") + b"hello"
    with Connection(server) as connection:
        connection.send(refused + request("GET", "/v2/"))
        assert [connection.answer().status for _ in range(2)] == [404, 200]


@pytest.mark.parametrize("lines, start", [
    (["Content-Length: 100000000"], b""),
    (["Transfer-Encoding: chunked"], b"5f5e100\r\n"),
])
@pytest.mark.parametrize("path, status", [
    ("/v2/team/app/blobs/uploads/none?digest=" + digest_of(b"hello"), 404),
    ("/v2/docker.io/library/app/blobs/uploads/none?digest=" + digest_of(b"hello"), 403),
    ("/v2/team/app/blobs/uploads/", 405),
    ("/v2/team/app/manifests/1?" + "&".join(f"tag=t{number}" for number in range(70)), 414),
    ("/v2/team/app/manifests/1?" + "&".join(f"tag=t{number}" for number in range(100)), 414),
])
def test_a_refusal_reaches_a_client_that_is_sending(server, path, status, lines, start):
    """It writes on for a while, as clients do, and still finds the answer."""
    with Connection(server) as connection:
        with contextlib.suppress(OSError):
            connection.send(request("PUT", path, *lines) + start, *[b"x" * 100_000] * 20)
        response = connection.answer()
        assert response.status == status
        assert response.headers["connection"] == "close"
        assert response.error["message"]


# Sizes of manifests


def manifest_of(size):
    """A manifest of exactly this many bytes, that refers to nothing."""
    document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [], "annotations": {"pad": ""}}
    document["annotations"]["pad"] = "x" * (size - len(json.dumps(document)))
    return json.dumps(document).encode()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size, status", [(MANIFEST_MAX, 201), (MANIFEST_MAX + 1, 413)])
def test_manifest_size(server, chunked, size, status):
    body = manifest_of(size)
    assert len(body) == size
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    with Connection(server) as connection:
        with contextlib.suppress(OSError):
            connection.send(request("PUT", "/v2/team/app/manifests/1", length,
                                    "Content-Type: application/vnd.oci.image.index.v1+json"),
                            chunks(body, 100_000) if chunked else body)
        response = connection.answer()
    assert response.status == status
    if status == 413:
        assert response.error["code"] == "SIZE_INVALID"
    else:
        assert response.digest == "sha256:" + hashlib.sha256(body).hexdigest()


def test_a_length_that_is_too_large_is_refused_before_a_byte_is_sent(server):
    with Connection(server) as connection:
        connection.send(request("PUT", "/v2/team/app/manifests/1", "Content-Type: " + IMAGE,
                                f"Content-Length: {1 << 60}", "Expect: 100-continue"))
        assert connection.answer().status == 413


def test_memory_follows_what_comes_and_not_what_is_said(serve):
    server = serve(upstreams=UPSTREAMS, config={"http": {"threads": 64}})
    before = server.peak_memory()
    with contextlib.ExitStack() as waiting:
        for _ in range(40):
            connection = waiting.enter_context(Connection(server))
            connection.send(request("PUT", "/v2/team/app/manifests/1", "Content-Type: " + IMAGE,
                                    f"Content-Length: {MANIFEST_MAX}") + b"{")
        server.wait_until(lambda: server.metrics().value("registry_http_in_flight_requests") >= 40)
        assert server.peak_memory() - before < 40 << 20


@pytest.mark.skipif(SANITIZED, reason="its memory is not ours")
def test_many_costly_manifests_at_once_cost_no_more_than_a_few(serve):
    # a tree of 16 MiB each, were they all looked at together
    server = serve(upstreams={}, config={"http": {"threads": 64}})
    body = (b'{"schemaVersion":2,"manifests":[],"x":[' + b"0," * 200_000 + b'0],"y":"').ljust(
        MANIFEST_MAX - 2, b"y") + b'"}'
    before = server.peak_memory()
    with contextlib.ExitStack() as pushing:
        connections = [pushing.enter_context(Connection(server)) for _ in range(40)]
        for i, connection in enumerate(connections):
            connection.send(request("PUT", f"/v2/team/app/manifests/{i}", "Content-Type: " + INDEX,
                                    f"Content-Length: {len(body)}") + body[:-1])
        for connection in connections:
            connection.send(body[-1:])
        for connection in connections:
            assert connection.answer().status == 201
    assert server.peak_memory() - before < 40 * 2 * MANIFEST_MAX + (100 << 20)


# What is said of where things are


def all_answered(server):
    """A client has its answer, or is gone, a moment before the worker is free."""
    server.wait_until(
        lambda: server.metrics().value("registry_http_in_flight_requests") == 0)


def test_slow_senders_leave_workers_for_others(serve):
    server = serve(upstreams=UPSTREAMS, config={"http": {"threads": 8}})
    repository = Repository(server, "team/app")
    repository.push_blob(CONTENT)
    repository.close()
    all_answered(server)
    head = (b"PUT /v2/team/app/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Type: " + IMAGE.encode()
            + b"\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(Connection(server)) for _ in range(6)]
        for connection in slow:
            connection.send(head)
            assert connection.answer().status == 100    # it is being read
            connection.send(b"{")
        with Connection(server) as late:
            late.send(head)
            refused = late.answer()
        assert (refused.status, refused.error["code"]) == (503, "UNAVAILABLE")
        assert refused.headers["retry-after"] == "1"
        pulling = Repository(server, "team/app")
        assert pulling.blob(digest_of(CONTENT)).body == CONTENT
        pulling.close()
    all_answered(server)
    with Connection(server) as next_one:
        next_one.send(head)
        assert next_one.answer().status == 100


def test_locations_are_relative(repository):
    upload = repository.post()
    assert upload.headers["location"].startswith("/v2/team/app/blobs/uploads/")
    assert upload.headers["docker-upload-uuid"] in upload.headers["location"]
    assert upload.headers["range"] == "0-0"


def test_locations_begin_with_the_external_url(serve):
    server = serve(upstreams=UPSTREAMS, config={"http": {"externalURL": "https://registry.test/sub"}})
    repository = Repository(server, "team/app")
    response = repository.post()
    assert response.headers["location"].startswith(
        "https://registry.test/sub/v2/team/app/blobs/uploads/")
    path = path_of(response.headers["location"]).removeprefix("/sub")
    response = repository.client.request("PUT", f"{path}&digest={digest_of(CONTENT)}", {}, CONTENT)
    assert response.status == 201
    assert response.headers["location"] == \
        f"https://registry.test/sub/v2/team/app/blobs/{digest_of(CONTENT)}"
    repository.close()


@pytest.mark.parametrize("value", ["bytes 0-4/5", "bytes 0-4/*", "bytes=0-4", "0-", "-4", "0", "",
                                   "a-b", "0-4/5", "4-0", "0--4", "0-99999999999999999999"])
def test_a_range_of_a_chunk_that_is_none(repository, value):
    upload = repository.begin()
    response = upload.patch(b"hello", Content_Range=value)
    assert response.status == 400
    assert response.error["code"] == "BLOB_UPLOAD_INVALID"
    assert upload.offset == 0


def test_received_bytes_are_counted_and_logged(server, repository):
    repository.push_chunked(CONTENT, 6000)
    metrics = server.metrics()
    assert metrics.value("registry_http_request_bytes_total",
                         handler="blob-upload-chunk") == len(CONTENT)
    lines = [line for line in server.log_lines() if "http.request.received" in line]
    assert sum(line["http.request.received"] for line in lines) == len(CONTENT)


def test_handles_of_uploads_are_not_logged(server, repository):
    upload = repository.begin()
    token = upload.location.partition("_state=")[2]
    assert token
    assert upload.patch(CONTENT).status == 202
    assert token not in server.stderr()
