"""Requests that are malformed, ambiguous or hostile, byte by byte."""

import contextlib
import socket

import pytest

from harness.raw import exchange, parse, read_all
from harness.server import NAME

PATH = f"/v2/team/app/manifests/1?ns={NAME}".encode()
DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def server(upstream, image, serve):
    return serve(upstream)


def head(*lines, target=PATH, method=b"GET", version=b"HTTP/1.1"):
    return b"\r\n".join([method + b" " + target + b" " + version, b"Host: x", *lines, b"", b""])


def ask(server, request):
    """The response (None when the connection was just closed), and what followed it."""
    received = exchange(server.port, request)
    if not received:
        return None, b""
    return parse(received)


def assert_refused(server, request):
    """400 and the connection closed; what was smuggled behind is not answered."""
    response, rest = ask(server, request)
    if response is None:
        return
    assert 400 <= response.status < 500, response
    assert rest == b"", "a second answer on a connection that had to be closed"


SMUGGLED = head(target=f"/v2/team/app/manifests/smuggled?ns={NAME}".encode())


@pytest.mark.parametrize("lines", [
    [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
    [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
    [b"Content-Length: 5", b"Content-Length: 6"],
    [b"Content-Length: 5", b"Content-Length: 5"],
    [b"Content-Length: 5, 5"],
    [b"Content-Length: 5junk"],
    [b"Content-Length: -5"],
    [b"Content-Length: +5"],
    [b"Content-Length: 0x5"],
    [b"Content-Length: "],
    [b"Content-Length: 99999999999999999999999"],
    [b"Content-Length : 5"],
    [b"Transfer-Encoding: chunked, chunked"],
    [b"Transfer-Encoding: xchunked"],
    [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"],
    [b"Transfer-Encoding:\x0bchunked"],
    [b"X-Thing: a\x00b"],
    [b"X-Thing: a\x01b"],
    [b"X-Thing: a\x7fb"],
    [b"X-Thing: a\rb"],
    [b"X Thing: a"],
    [b"X-Thing"],
    [b": a"],
    [b"X(Thing): a"],
    [b" X-Folded: a"],
    [b"X-Thing: a", b" folded"],
    [b"Host: y"],
], ids=repr)
def test_headers(upstream, server, lines):
    assert_refused(server, head(*lines) + b"0\r\n\r\n" + SMUGGLED)
    assert upstream.count(reference="smuggled") == 0


@pytest.mark.parametrize("target", [
    b"/v2/team/app/manifests/1\x01", b"/v2/team/app/manifests/\x7f", b"/v2/team/app\t/manifests/1",
    b"/v2/team/app/manifests/\x80\xff", b"v2/team/app/manifests/1", b"*", b"",
    b"http://x y/v2/", b"/v2/#fragment",
], ids=repr)
def test_targets(upstream, server, target):
    assert_refused(server, head(target=target) + SMUGGLED)
    assert upstream.count(reference="smuggled") == 0


@pytest.mark.parametrize("path", [
    "/v2/team/app/manifests/1%00", "/v2/team/app%00/manifests/1", "/v2/team%2fapp/manifests/1",
    "/v2/team%2Fapp/manifests/1", "/v2/team/app/manifests/..%2f..%2fetc", "/v2/../v2/team/app/manifests/1",
    "/v2/team/../team/app/manifests/1", "/v2/team/./app/manifests/1", "/v2//team/app/manifests/1",
    "/v2/team//app/manifests/1", "/v2/team/app//manifests/1", "/v2/team/app/manifests//1",
    "/v2/%2e%2e/app/manifests/1", "/v2/team/app/manifests/%2e%2e", "/v2/team/app/manifests/..",
    "/v2/team/app/manifests/1%", "/v2/team/app/manifests/1%zz", "/v2/team/app/manifests/1%0d%0aX:y",
    "/v2/team/app/manifests/", "/v2/team/app/manifests/1/2", "/v2/team/app/manifests",
    "/v2/Team/app/manifests/1", "/v2/team/App/manifests/1", "/v2/-team/app/manifests/1",
    "/v2/team-/app/manifests/1", "/v2/team/a..b/manifests/1", "/v2/team/a___b/manifests/1",
    "/v2/team/_app/manifests/1", "/v2/team\\app/manifests/1", "/v2/te%20am/app/manifests/1",
    "/v2/team/app/manifests/.hidden", "/v2/team/app/manifests/-dash", "/v2/team/app/manifests/a+b",
    "/v2/team/app/manifests/" + "t" * 129, "/v2/" + "a" * 256 + "/manifests/1",
    "/v2/" + "a/" * 200 + "a/manifests/1", "/v2/manifests/1",
    "/v2/team/app/blobs/1", "/v2/team/app/blobs/sha256:zz", "/v2/team/app/blobs/sha256:" + "A" * 64,
    "/v2/team/app/blobs/sha256:" + "0" * 63, "/v2/team/app/blobs/sha256:" + "0" * 65,
    "/v2/team/app/blobs/sha512:" + "0" * 64, "/v2/team/app/blobs/md5:" + "0" * 32,
    "/v2/team/app/blobs/sha256:../../../etc/passwd", "/v2/team/app/manifests/sha256:" + "0" * 63,
    "/v2/team/app/manifests/sha256:" + "g" * 64, "/v2/team/app/manifests/md5:" + "0" * 32,
])
def test_names(upstream, server, path):
    response = server.get(f"{path}?ns={NAME}")
    assert response.status in (400, 404), response
    assert response.error["code"] in (
        "NAME_INVALID", "TAG_INVALID", "DIGEST_INVALID", "MANIFEST_INVALID", "NAME_UNKNOWN",
        "MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "UNSUPPORTED", "UNKNOWN")
    assert [asked for asked in upstream.exchanges if ".." in asked.target or "%" in asked.target] == []


@pytest.mark.parametrize("path", ["/", "/v1/", "/v2x/", "/v3/", "/etc/passwd", "/metrics", "/livez",
                                  "/readyz", "/v2/_unknown", "/v2/team/app/unknown/x", "/favicon.ico"])
def test_what_is_not_there(server, path):
    assert server.get(path).status in (400, 404)


def test_catalog_of_an_upstream_is_not_invented(server):
    assert server.get("/v2/_catalog").status in (200, 401, 404, 405)


@pytest.mark.parametrize("path, allow", [
    ("/v2/team/app/manifests/1", "GET, HEAD, PUT, DELETE"),
    (f"/v2/team/app/blobs/{DIGEST}", "GET, HEAD, DELETE"),
    ("/v2/team/app/blobs/uploads/", "POST"),
    ("/v2/team/app/blobs/uploads/1", "GET, HEAD, PUT, PATCH, DELETE"),
    ("/v2/_catalog", "GET, HEAD"),
])
def test_what_an_endpoint_takes_is_said(server, path, allow):
    response = server.request("OPTIONS", path)
    assert (response.status, response.error["code"]) == (405, "UNSUPPORTED")
    assert response.headers["allow"] == allow


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/v2/", f"/v2/team/app/tags/list?ns={NAME}",
                                  f"/v2/team/app/referrers/{DIGEST}?ns={NAME}"])
def test_methods_that_are_not_allowed(server, method, path):
    response = server.request(method, path, body=b"")
    assert response.status in (403, 405)
    if response.status == 405:
        assert response.error["code"] == "UNSUPPORTED"
        assert {"GET", "HEAD"} <= set(response.headers["allow"].replace(" ", "").split(","))


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT", b"OPTIONS", b"PROPFIND", b"get", b"G", b"",
                                    b"GET" * 1000, b"G\x01T"])
def test_odd_methods(server, method):
    response, _ = ask(server, head(b"Connection: close", method=method))
    assert response is None or response.status in (400, 403, 404, 405, 414, 431, 501)


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2x", b"HTTP", b"http/1.1", b""])
def test_odd_versions(server, version):
    response, _ = ask(server, head(b"Connection: close", version=version))
    assert response is None or response.status in (400, 404, 505)


def test_http_1_0_is_served(server, image):
    response, rest = ask(server, b"GET " + PATH + b" HTTP/1.0\r\n\r\n")
    assert (response.status, response.body, rest) == (200, image.body, b"")


def test_huge_header(server):
    for lines in ([b"X-Huge: " + b"h" * 200_000], [b"X-%d: y" % number for number in range(5000)]):
        response, rest = ask(server, head(*lines))
        assert response is None or response.status in (400, 413, 431)
        assert rest == b""


def test_huge_target(server):
    response, _ = ask(server, head(target=b"/v2/" + b"a" * 100_000))
    assert response is None or response.status in (400, 404, 414, 431)


def test_headers_up_to_a_sane_size_are_taken(server, image):
    """Tokens are long."""
    response, _ = ask(server, head(b"Authorization: Bearer " + b"t" * 6000, b"Connection: close"))
    assert response.status == 200


def test_pipelined_requests(server, image):
    received = exchange(server.port, head() + head(b"Connection: close"))
    first, rest = parse(received)
    assert (first.status, first.body) == (200, image.body)
    second, rest = parse(rest)
    assert (second.status, second.body, rest) == (200, image.body, b"")


def test_body_with_a_get(server, image):
    """Nobody sends one; it must not be taken for the next request."""
    request = head(b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED
    received = exchange(server.port, request, timeout=3)
    first, rest = parse(received)
    assert first.status in (200, 400) and rest == b""


@pytest.mark.parametrize("lines, body", [
    ([b"Content-Length: 60000"], b"x"),
    ([b"Transfer-Encoding: chunked"], b"ea60\r\nx"),
    ([b"Transfer-Encoding: chunked"], b"7fffffffffffffff\r\nx"),
], ids=repr)
def test_body_that_does_not_come_holds_nobody_up(upstream, serve, image, lines, body):
    server = serve(upstream, config={"http": {"threads": 8}})
    with contextlib.ExitStack() as waiting:
        for method in (b"GET", b"POST") * 8:
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
            waiting.enter_context(connection).sendall(head(*lines, method=method) + body)
        assert server.request("GET", PATH.decode(), timeout=10).status == 200


def test_garbage(server, image):
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500, b"\r\n\r\n",
                    b"\x00" * 1000, b"SSH-2.0-x\r\n", b"GET", b"\xff" * 100_000):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
            received = read_all(connection)
            assert received == b"" or received.startswith(b"HTTP/1.1 4")
    assert server.manifest("team/app", "1").status == 200


def test_half_a_request_holds_nobody_up(server, image):
    """More connections that never finish their head than there are threads to wait for them."""
    waiting = []
    for _ in range(40):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        waiting.append(connection)
    assert server.manifest("team/app", "1").status == 200
    assert server.admin("/readyz").status == 200
    for connection in waiting:
        connection.close()


@pytest.mark.timeout(180)
def test_slow_head_is_cut_off(server):
    """A byte now and then keeps no worker for ever."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=1) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\n")
        for _ in range(150):
            try:
                connection.sendall(b"X")
                if connection.recv(1000) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
            return
    raise AssertionError("a head that never ends was waited for, for more than two minutes")


def test_log_escapes_what_clients_send(server):
    identity = b"evil\x1b[31m\"}{\xc3\xa9"
    ask(server, head(b"User-Agent: " + identity, b"Connection: close"))
    ask(server, head(b"Authorization: Basic c2VjcmV0OnNlY3JldA==", b"Connection: close"))
    server.secrets.append("c2VjcmV0OnNlY3JldA==")
    server.check_log()


def test_location_is_not_made_of_the_host(server):
    """No header of a reply repeats a Host that we do not know."""
    for path in ("/v2/", "/v2", "/", f"/v2/team/app/tags/list?n=1&ns={NAME}"):
        response = server.get(path, Host="evil.example")
        assert not any("evil.example" in value for value in response.headers.values())


def test_x_forwarded_changes_nothing(server, image):
    response = server.get(PATH.decode(), X_Forwarded_Host="evil.example", X_Original_URL="/metrics",
                          X_Forwarded_Prefix="/x")
    assert response.body == image.body
