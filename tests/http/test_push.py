"""Blobs that are pushed: every way of it, and every way of doing it wrong."""

import socket
import threading

import pytest

from fakes import images
from fakes.images import digest_of
from harness.push import Repository, Upload, offset_of, path_of, with_query
from harness.raw import parse
from harness.server import in_parallel

KB, MB = 1 << 10, 1 << 20
CONTENT = images.random_bytes(300_000, "content")
DIGEST = digest_of(CONTENT)
NOTHING = {"sha256": digest_of(b""), "sha512": digest_of(b"", "sha512")}
OTHER = digest_of(b"something else")


@pytest.fixture
def server(local):
    return local


def assert_created(response, name, digest):
    assert response.status == 201, response
    assert path_of(response.headers["location"]) == f"/v2/{name}/blobs/{digest}"
    assert response.digest == digest


def assert_stored(repository, content, algorithm="sha256"):
    digest = digest_of(content, algorithm)
    response = repository.blob(digest)
    assert (response.status, response.body) == (200, content)
    assert response.cache == "local"
    head = repository.blob(digest, "HEAD")
    assert (head.status, head.headers["content-length"]) == (200, str(len(content)))


def assert_fails(response, status, *codes):
    assert response.status == status, response
    assert response.error["code"] in codes, response


def assert_gone(upload):
    """Whoever asks for it, however."""
    assert_fails(upload.status(), 404, "BLOB_UPLOAD_UNKNOWN")
    assert_fails(upload.patch(b"more"), 404, "BLOB_UPLOAD_UNKNOWN")
    assert_fails(upload.put(OTHER), 404, "BLOB_UPLOAD_UNKNOWN")
    assert_fails(upload.cancel(), 404, "BLOB_UPLOAD_UNKNOWN")


def bytes_on_disk(server):
    """Of uploads and blobs, with what is being written."""
    return sum(path.stat().st_size for folder in ("blobs", "uploads")
               for path in (server.root / folder).rglob("*") if path.is_file())


# ---- the ways to push -------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=["empty", "byte", "300KB"])
class TestEveryWay:
    def test_post_then_put(self, repository, content, algorithm):
        digest = digest_of(content, algorithm)
        assert_created(repository.begin().put(digest, content), repository.name, digest)
        assert_stored(repository, content, algorithm)

    def test_single_post(self, repository, content, algorithm):
        digest = digest_of(content, algorithm)
        assert_created(repository.post(content, digest=digest), repository.name, digest)
        assert_stored(repository, content, algorithm)

    def test_announced_algorithm(self, repository, content, algorithm):
        digest = digest_of(content, algorithm)
        upload = repository.begin(**{"digest-algorithm": algorithm})
        assert upload.patch(content).status == 202
        assert_created(upload.put(digest), repository.name, digest)
        assert_stored(repository, content, algorithm)

    def test_algorithm_that_was_not_announced(self, repository, content, algorithm):
        digest = digest_of(content, algorithm)
        upload = repository.begin()
        assert upload.patch(content).status == 202
        assert_created(upload.put(digest), repository.name, digest)
        assert_stored(repository, content, algorithm)

    def test_transfer_in_chunks(self, repository, content, algorithm):
        """Of HTTP: nobody knows the length beforehand."""
        digest = digest_of(content, algorithm)
        pieces = [content[first:first + 7_000] for first in range(0, len(content), 7_000)]
        upload = repository.begin()
        assert upload.patch(iter(pieces)).status == 202
        assert_created(upload.put(digest), repository.name, digest)
        assert_stored(repository, content, algorithm)

    def test_transfer_in_chunks_to_the_end(self, repository, content, algorithm):
        digest = digest_of(content, algorithm)
        assert_created(repository.begin().put(digest, iter([content] if content else [])),
                       repository.name, digest)
        assert_stored(repository, content, algorithm)


def test_the_answer_to_a_post(repository):
    response = repository.post()
    assert response.status == 202
    assert path_of(response.headers["location"]).startswith("/v2/team/app/blobs/uploads/")
    assert response.headers["content-length"] == "0"
    assert response.headers["docker-distribution-api-version"] == "registry/2.0"
    assert response.body == b""


@pytest.mark.parametrize("sizes", [[1, 1, 1], [100_000, 100_000, 100_000], [299_999, 1], [1, 299_999],
                                   [4096] * 74], ids=lambda sizes: f"{len(sizes)}x{sizes[0]}")
def test_chunks(repository, sizes):
    content = images.random_bytes(sum(sizes), "chunks")
    upload = repository.begin()
    first = 0
    for size in sizes:
        response = upload.patch(content[first:first + size], first)
        first += size
        assert (response.status, response.headers["range"]) == (202, f"0-{first - 1}"), response
        assert upload.status().headers["range"] == f"0-{first - 1}"
    digest = digest_of(content)
    assert_created(upload.put(digest), repository.name, digest)
    assert_stored(repository, content)


def test_last_chunk_in_the_put(repository):
    upload = repository.begin()
    upload.patch(CONTENT[:100_000], 0)
    assert_created(upload.put(DIGEST, CONTENT[100_000:], 100_000), repository.name, DIGEST)
    assert_stored(repository, CONTENT)


def test_last_chunk_without_a_range(repository):
    upload = repository.begin()
    upload.patch(CONTENT[:100_000])
    assert_created(upload.put(DIGEST, CONTENT[100_000:]), repository.name, DIGEST)
    assert_stored(repository, CONTENT)


def test_nothing_is_there_before_the_end(server, repository):
    upload = repository.begin()
    upload.patch(CONTENT)
    assert_fails(repository.blob(DIGEST), 404, "BLOB_UNKNOWN", "NAME_UNKNOWN")
    assert server.stored_blobs() == []
    upload.put(DIGEST)
    assert_stored(repository, CONTENT)


def test_pushed_twice_and_stored_once(server, repository):
    for _ in range(2):
        repository.push_blob(CONTENT)
        repository.push_chunked(CONTENT, 100_000)
        Repository(server, "team/other").push_blob(CONTENT)
    assert len(server.stored_blobs()) == 1
    assert bytes_on_disk(server) == len(CONTENT)


def test_reading_what_was_pushed(repository):
    repository.push_blob(CONTENT)
    for asked, status, body in [("bytes=0-9", 206, CONTENT[:10]), ("bytes=-10", 206, CONTENT[-10:]),
                                ("bytes=299990-", 206, CONTENT[-10:]),
                                ("bytes=0-1,5-6", 200, CONTENT)]:
        response = repository.blob(DIGEST, Range=asked)
        assert (response.status, response.body) == (status, body), asked
    assert repository.blob(DIGEST, Range="bytes=300000-").status == 416
    etag = repository.blob(DIGEST).headers["etag"]
    assert repository.blob(DIGEST, If_None_Match=etag).status == 304
    assert repository.blob(DIGEST, Range="bytes=0-9", If_Range=etag).status == 206
    assert repository.blob(DIGEST, Range="bytes=0-9", If_Range='"x"').status == 200


def test_an_external_url_is_where_uploads_are(serve):
    server = serve(upstreams={}, config={"http": {"externalURL": "https://registry.example/base"}})
    response = Repository(server, "team/app").post()
    assert response.headers["location"].startswith(
        "https://registry.example/base/v2/team/app/blobs/uploads/")


def test_a_host_that_the_client_made_up_is_not_believed(repository):
    response = repository.post(headers={"Host": "evil.example"})
    assert "evil.example" not in response.headers.get("location", "")


@pytest.mark.heavy
def test_a_large_blob_needs_no_memory(server, repository):
    pieces = [images.random_bytes(MB, number) for number in range(16)] * 16
    before = server.peak_memory()
    upload = repository.begin()
    assert upload.patch(iter(pieces)).status == 202
    content = b"".join(pieces)
    assert upload.put(digest_of(content)).status == 201
    assert server.peak_memory() - before < 24 * MB
    assert repository.blob(digest_of(content)).body == content


# ---- wrong digests ----------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
class TestWrongDigest:
    def assert_nothing_left(self, server, repository, content, wrong):
        for digest in (wrong, digest_of(content), digest_of(content, "sha512")):
            assert_fails(repository.blob(digest), 404, "BLOB_UNKNOWN", "NAME_UNKNOWN")
        assert bytes_on_disk(server) == 0

    def test_in_the_put(self, server, repository, algorithm):
        wrong = digest_of(b"something else", algorithm)
        upload = repository.begin()
        assert_fails(upload.put(wrong, CONTENT), 400, "DIGEST_INVALID")
        self.assert_nothing_left(server, repository, CONTENT, wrong)
        assert_gone(upload)

    def test_after_chunks(self, server, repository, algorithm):
        wrong = digest_of(b"something else", algorithm)
        upload = repository.begin()
        for first in range(0, len(CONTENT), 100_000):
            upload.patch(CONTENT[first:first + 100_000], first)
        assert_fails(upload.put(wrong), 400, "DIGEST_INVALID")
        self.assert_nothing_left(server, repository, CONTENT, wrong)
        assert_gone(upload)

    def test_in_a_single_post(self, server, repository, algorithm):
        wrong = digest_of(b"something else", algorithm)
        assert_fails(repository.post(CONTENT, digest=wrong), 400, "DIGEST_INVALID")
        self.assert_nothing_left(server, repository, CONTENT, wrong)

    def test_does_not_harm_what_is_there(self, repository, algorithm):
        digest = repository.push_blob(b"something else", algorithm)
        assert_fails(repository.begin().put(digest, CONTENT), 400, "DIGEST_INVALID")
        assert_fails(repository.post(CONTENT, digest=digest), 400, "DIGEST_INVALID")
        assert_stored(repository, b"something else", algorithm)


BAD_DIGESTS = ["", "x", "sha256:", "sha256:zz", "sha256:" + "0" * 63, "sha256:" + "0" * 65,
               "sha256:" + "A" * 64, "SHA256:" + "0" * 64, "md5:" + "0" * 32, "sha512:" + "0" * 64,
               "sha256:" + "0" * 64 + "%20", "../../etc/passwd", "sha256:../../etc", "0" * 64]


@pytest.mark.parametrize("digest", BAD_DIGESTS)
def test_what_is_no_digest(server, repository, digest):
    assert_fails(repository.begin().put(digest, CONTENT), 400, "DIGEST_INVALID")
    response = repository.post(CONTENT, digest=digest)
    assert_fails(response, 400, "DIGEST_INVALID")
    assert server.stored_blobs() == []


def test_no_digest_at_all(repository):
    upload = repository.begin()
    response = repository.client.request("PUT", upload.location, {}, CONTENT)
    assert_fails(response, 400, "DIGEST_INVALID")


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "", "sha256:", "SHA256", "../x", "x" * 1000])
def test_an_algorithm_that_is_none(repository, algorithm):
    assert_fails(repository.post(**{"digest-algorithm": algorithm}), 400, "DIGEST_INVALID", "UNSUPPORTED")


# ---- out of order -----------------------------------------------------------


@pytest.fixture
def begun(repository):
    """With the first 100,000 bytes."""
    upload = repository.begin()
    assert upload.patch(CONTENT[:100_000], 0).status == 202
    return upload


def assert_out_of_order(response, upload):
    assert_fails(response, 416, "RANGE_INVALID")
    assert response.headers["range"] == "0-99999"
    assert upload.offset == 100_000


def finish(upload, repository):
    """From where it is; with the Location that the last answer gave."""
    offset = upload.offset
    assert upload.patch(CONTENT[offset:], offset).status == 202
    assert upload.put(DIGEST).status == 201
    assert_stored(repository, CONTENT)


@pytest.mark.parametrize("first", [0, 1, 99_999, 100_001, 200_000, 1 << 40])
def test_a_chunk_in_another_place(repository, begun, first):
    assert_out_of_order(begun.patch(CONTENT[:1000], first), begun)
    finish(begun, repository)


def test_a_chunk_in_another_place_at_the_end(repository, begun):
    assert_out_of_order(begun.put(DIGEST, CONTENT[150_000:], 150_000), begun)
    finish(begun, repository)


def test_the_first_chunk_in_another_place(repository):
    upload = repository.begin()
    assert_fails(upload.patch(CONTENT[100:], 100), 416, "RANGE_INVALID")
    assert upload.offset == 0
    finish(upload, repository)


def test_a_large_chunk_in_another_place(repository, begun):
    """It is refused before it was sent; the connection may end with that."""
    assert_out_of_order(begun.patch(images.random_bytes(8 * MB, 1), 5), begun)
    finish(begun, repository)


@pytest.mark.parametrize("value", ["", "5", "-", "100000-", "-5", "a-b", "100000-99999", "100000-100000",
                                   "100000-101999", "bytes 100000-100999/*", "100000-100999/5",
                                   "100000-99999999999999999999999999", "18446744073709551616-5",
                                   "0x186a0-100999", "+100000-100999", "100000--100999"])
def test_a_content_range_that_is_none(repository, begun, value):
    response = begun.patch(CONTENT[100_000:101_000], Content_Range=value)
    assert response.status in (400, 416), response
    if begun.offset == 100_000:
        finish(begun, repository)


def test_a_body_that_is_not_as_long_as_its_range(server, repository, begun):
    """Sent in chunks of HTTP, so that it shows at the end only."""
    for length in (500, 2000):
        response = begun.patch(iter([CONTENT[100_000:100_000 + length]]), Content_Range="100000-100999")
        assert response.status in (400, 416), response
        assert begun.status().status == 204
    offset = begun.offset
    assert CONTENT[:offset] and offset <= 102_000
    finish(begun, repository)


# ---- handles ----------------------------------------------------------------


def test_a_handle_of_before(repository):
    """It may still ask where the upload is; it may not write."""
    upload = repository.begin()
    stale = upload.location
    upload.patch(CONTENT[:100_000], 0)
    response = Upload(repository.client, stale).status()
    assert (response.status, response.headers["range"]) == (204, "0-99999")
    for body, first in ((CONTENT[:1000], 0), (CONTENT[:1000], None)):
        assert_out_of_order(Upload(repository.client, stale).patch(body, first), upload)
    assert_out_of_order(Upload(repository.client, stale).put(DIGEST), upload)
    moved = Upload(repository.client, stale)
    moved.patch(b"x", 0)
    finish(moved, repository)   # the 416 said where to go on


def test_a_handle_of_another_repository(server, repository, begun):
    with server.client() as client:
        stolen = Upload(client, begun.location.replace("/team/app/", "/team/other/"))
        assert_gone(stolen)
        inside = Upload(client, begun.location.replace("/team/app/", "/team/app/sub/"))
        assert_gone(inside)
    assert begun.offset == 100_000
    finish(begun, repository)


def tampered(location):
    """Every character of the handle changed once, and cut off."""
    start = location.index("/uploads/") + len("/uploads/")
    for place in range(start, len(location)):
        if location[place] not in "?&=%-_.~":
            yield location[:place] + ("a" if location[place] != "a" else "b") + location[place + 1:]
    for end in range(start + 1, len(location), 7):
        yield location[:end]
    yield location.partition("?")[0]
    yield location + "0"


def test_a_handle_that_was_changed(repository, begun):
    good = begun.location
    seen = set()
    for location in tampered(good):
        for answer in (begun.status(location), begun.patch(b"evil", location=location),
                       begun.put(OTHER, location=location), begun.cancel(location)):
            assert answer.status in (400, 404), (location, answer)
            seen.add(answer.error["code"])
    assert seen <= {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "NAME_UNKNOWN", "DIGEST_INVALID"}
    begun.location = good
    assert begun.offset == 100_000
    finish(begun, repository)


def test_the_state_of_another_upload(repository):
    one, two = repository.begin(), repository.begin()
    swapped = one.location.partition("?")[0] + "?" + two.location.partition("?")[2]
    assert_gone(Upload(repository.client, swapped))


@pytest.mark.parametrize("identifier", ["x", "..", "%2e%2e", "0" * 32, "../../x", "%00", "x" * 300, "_"])
def test_an_upload_that_is_none(repository, identifier):
    for query in ("", "?_state=x", "?_state="):
        path = f"/v2/team/app/blobs/uploads/{identifier}{query}"
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            asked = with_query(path, digest=DIGEST) if method == "PUT" else path
            response = repository.client.request(method, asked, {}, b"" if method != "GET" else None)
            assert response.status in (400, 404), (method, path, response)


def test_cancelled(server, repository, begun):
    assert begun.cancel().status == 204
    assert_gone(begun)
    assert bytes_on_disk(server) == 0


def test_finished_is_gone(repository, begun):
    assert begun.put(DIGEST, CONTENT[100_000:]).status == 201
    assert_gone(begun)
    assert_stored(repository, CONTENT)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_methods_where_uploads_begin(repository, method):
    response = repository.client.request(method, "/v2/team/app/blobs/uploads/", {}, b"")
    assert response.status in (404, 405), response


# ---- interrupted ------------------------------------------------------------


def cut_off(server, method, path, announced, body, extra=b""):
    """Sends the head and `body`, which is less than was announced, and hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode() + extra +
                           f"Content-Length: {announced}\r\n\r\n".encode() + body)


def test_a_client_that_goes_away_in_a_chunk(server, repository, begun):
    cut_off(server, "PATCH", begun.location, 200_000, CONTENT[100_000:250_000])
    server.wait_until(lambda: in_flight(server) == 0)
    offset = begun.offset
    assert 100_000 <= offset <= 250_000
    finish(begun, repository)


def test_a_client_that_goes_away_in_the_last_chunk(server, repository, begun):
    cut_off(server, "PUT", with_query(begun.location, digest=DIGEST), 200_000, CONTENT[100_000:250_000])
    server.wait_until(lambda: in_flight(server) == 0)
    assert_fails(repository.blob(DIGEST), 404, "BLOB_UNKNOWN", "NAME_UNKNOWN")
    finish(begun, repository)


def test_a_client_that_goes_away_in_a_single_post(server, repository):
    path = f"/v2/team/app/blobs/uploads/?digest={DIGEST}"
    cut_off(server, "POST", path, len(CONTENT), CONTENT[:100_000])
    server.wait_until(lambda: in_flight(server) == 0)
    assert_fails(repository.blob(DIGEST), 404, "BLOB_UNKNOWN", "NAME_UNKNOWN")
    assert repository.push_blob(CONTENT) == DIGEST


def in_flight(server):
    return server.metrics().value("registry_http_in_flight_requests")


@pytest.mark.parametrize("stop", ["restart", "kill"])
def test_a_restart_in_the_middle(server, repository, stop):
    upload = repository.begin()
    for first in range(0, 200_000, 50_000):
        assert upload.patch(CONTENT[first:first + 50_000], first).status == 202
        repository.close()
        if stop == "kill":
            server.kill()
            server.start()
        else:
            server.restart()
        assert upload.offset == first + 50_000
    finish(upload, repository)


def test_expect_continue(server, repository):
    upload = repository.begin()
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        path = with_query(upload.location, digest=DIGEST)
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                           f"Content-Length: {len(CONTENT)}\r\nConnection: close\r\n\r\n".encode())
        connection.settimeout(5)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(CONTENT)
        response, _ = parse(connection.makefile("rb").read())
    assert response.status == 201
    assert_stored(repository, CONTENT)


def test_expect_continue_that_is_refused(server, begun):
    """416 instead of 100: the body is never sent."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(f"PATCH {begun.location} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                           "Content-Range: 5-1000004\r\nContent-Length: 1000000\r\n\r\n".encode())
        connection.settimeout(5)
        assert connection.recv(1000).startswith(b"HTTP/1.1 416 ")


# ---- at once ----------------------------------------------------------------


def test_many_push_the_same_blob(server):
    def push():
        repository = Repository(server, "team/app")
        repository.push_blob(CONTENT)
        assert_stored(repository, CONTENT)
        repository.close()
    in_parallel([push] * 16)
    assert len(server.stored_blobs()) == 1
    assert bytes_on_disk(server) == len(CONTENT)


def test_two_chunks_for_one_place(server, repository):
    """One of them is in, the other one is told where the upload is now."""
    for round_number in range(20):
        upload = repository.begin()
        chunks = [images.random_bytes(20_000, f"{round_number}/{name}") for name in "ab"]

        def patch(chunk, location=upload.location):
            with server.client() as client:
                return Upload(client, location).patch(chunk, 0)
        answers = in_parallel([lambda chunk=chunk: patch(chunk) for chunk in chunks])
        assert sorted(answer.status for answer in answers) == [202, 416]
        taken = chunks[[answer.status for answer in answers].index(202)]
        assert upload.offset == 20_000
        assert upload.put(digest_of(taken)).status == 201
        assert_stored(repository, taken)


def test_two_ends_of_one_upload(server, repository):
    for number in range(20):
        content = images.random_bytes(20_000, f"ends/{number}")
        upload = repository.begin()
        upload.patch(content, 0)

        def put(location=upload.location, digest=digest_of(content)):
            with server.client() as client:
                return Upload(client, location).put(digest)
        statuses = [answer.status for answer in in_parallel([put] * 3)]
        assert 201 in statuses and set(statuses) <= {201, 404, 416}, statuses
        assert_stored(repository, content)


def test_cancelled_while_it_is_written(server, repository):
    for _ in range(10):
        upload = repository.begin()
        location = upload.location

        def patch(at=location):
            with server.client() as client:
                return Upload(client, at).patch(CONTENT, 0)

        def cancel(at=location):
            with server.client() as client:
                return Upload(client, at).cancel()
        answers = in_parallel([patch, cancel])
        assert answers[0].status in (202, 404, 416), answers
        assert answers[1].status in (204, 404, 409, 416), answers
        if answers[1].status == 204:
            assert Upload(repository.client, location).status().status == 404
    server.restart()
    live = [path for path in (server.root / "uploads").rglob("*") if path.is_file()]
    assert len(live) <= 10


def test_many_uploads_at_once(server):
    def push(number):
        content = images.random_bytes(100_000 + number, f"many/{number}")
        repository = Repository(server, f"team/app{number % 3}")
        repository.push_chunked(content, 30_000)
        assert_stored(repository, content)
        repository.close()
    in_parallel([lambda number=number: push(number) for number in range(24)])


# ---- what it costs, and when it ends ----------------------------------------


def test_abandoned_uploads_expire(serve):
    server = serve(upstreams={}, config={"uploads": {"maxAge": "1s"}})
    repository = Repository(server, "team/app")
    uploads = [repository.begin() for _ in range(3)]
    for upload in uploads:
        upload.patch(CONTENT)
    server.wait_until(lambda: all(upload.status().status == 404 for upload in uploads), 30)
    server.wait_until(lambda: bytes_on_disk(server) == 0, 30)
    for upload in uploads:
        assert_gone(upload)
    assert repository.push_blob(CONTENT) == DIGEST


def test_an_upload_that_goes_on_does_not_expire(serve):
    server = serve(upstreams={}, config={"uploads": {"maxAge": "3s"}})
    repository = Repository(server, "team/app")
    upload = repository.begin()
    waiting = threading.Event()
    for first in range(0, 300_000, 30_000):   # for longer than maxAge
        assert upload.patch(CONTENT[first:first + 30_000], first).status == 202
        waiting.wait(0.45)
    assert upload.put(DIGEST).status == 201
    assert_stored(repository, CONTENT)
    assert offset_of(upload.client.get(repository.begin().location)) == 0
