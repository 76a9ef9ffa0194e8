"""The fake upstream does what the tests that stand on it believe."""

import base64
import http.client
import json
import socket
import threading
import time
import urllib.parse
import urllib.request

import pytest

from fakes import faults, images
from fakes.upstream import BasicAuth, BearerAuth, Upstream


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server


@pytest.fixture
def image(upstream):
    return upstream.add("team/app", "1", images.image([200_000]))


def ask(upstream, path, method="GET", **headers):
    connection = http.client.HTTPConnection(upstream.host, upstream.port, timeout=10)
    connection.request(method, path, headers={name.replace("_", "-"): value
                                              for name, value in headers.items()})
    response = connection.getresponse()
    try:
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def test_serves_an_image(upstream, image):
    status, headers, body = ask(upstream, "/v2/team/app/manifests/1")
    assert (status, body) == (200, image.body)
    assert headers["Docker-Content-Digest"] == image.digest
    for digest, content in image.blobs.items():
        assert ask(upstream, f"/v2/team/app/blobs/{digest}")[2] == content
    assert upstream.count("GET", "blobs") == 2


def test_head_and_range(upstream, image):
    status, headers, body = ask(upstream, f"/v2/team/app/manifests/{image.digest}", "HEAD")
    assert (status, body, int(headers["Content-Length"])) == (200, b"", len(image.body))
    layer = image.layers[0]
    status, headers, body = ask(upstream, f"/v2/team/app/blobs/{layer}", Range="bytes=10-19")
    assert (status, body) == (206, image.blobs[layer][10:20])
    assert headers["Content-Range"] == "bytes 10-19/200000"
    assert ask(upstream, f"/v2/team/app/blobs/{layer}", Range="bytes=200000-")[0] == 416


@pytest.mark.parametrize("path", ["/v2/team/app/manifests/2", "/v2/other/manifests/1",
                                  f"/v2/team/app/blobs/sha256:{'0' * 64}", "/v1/", "/"])
def test_absent(upstream, image, path):
    assert ask(upstream, path)[0] == 404


def test_sha512_and_index(upstream):
    parts = [images.image(seed=seed, algorithm="sha512") for seed in (1, 2)]
    index = upstream.add("multi", "1", images.index(parts))
    listed = json.loads(ask(upstream, "/v2/multi/manifests/1")[2])["manifests"]
    assert [item["digest"] for item in listed] == [part.digest for part in parts]
    assert listed[0]["digest"].startswith("sha512:") and index.digest.startswith("sha256:")
    assert ask(upstream, f"/v2/multi/manifests/{listed[1]['digest']}")[2] == parts[1].body


def test_tags_come_in_pages(upstream):
    for tag in "abcde":
        upstream.add("many", tag, images.image())
    found, path = [], "/v2/many/tags/list?n=2"
    while path:
        _, headers, body = ask(upstream, path)
        found += json.loads(body)["tags"]
        path = headers.get("Link", "").partition(">")[0].lstrip("<")
    assert found == list("abcde")


def test_referrers(upstream, image):
    signature = upstream.add("team/app", None, images.artifact(image, "test/signature", b"signed"))
    upstream.add("team/app", None, images.artifact(image, "test/sbom", b"listed"))
    path = f"/v2/team/app/referrers/{image.digest}"
    assert len(json.loads(ask(upstream, path)[2])["manifests"]) == 2
    _, headers, body = ask(upstream, path + "?artifactType=test/signature")
    assert [item["digest"] for item in json.loads(body)["manifests"]] == [signature.digest]
    assert headers["OCI-Filters-Applied"] == "artifactType"
    upstream.referrers_api = False
    assert ask(upstream, path)[0] == 404


def test_basic(upstream, image):
    upstream.auth = BasicAuth({"me": "secret"})
    status, headers, _ = ask(upstream, "/v2/team/app/manifests/1")
    assert status == 401 and headers["WWW-Authenticate"].startswith("Basic ")
    password = base64.b64encode(b"me:secret").decode()
    assert ask(upstream, "/v2/team/app/manifests/1", Authorization=f"Basic {password}")[0] == 200
    wrong = base64.b64encode(b"me:wrong").decode()
    assert ask(upstream, "/v2/team/app/manifests/1", Authorization=f"Basic {wrong}")[0] == 401


def test_bearer(upstream, image):
    upstream.add("secret/app", "1", images.image())
    upstream.auth = BearerAuth({"me": "secret"}, private=["secret/app"])
    status, headers, _ = ask(upstream, "/v2/secret/app/manifests/1")
    assert status == 401 and f'realm="{upstream.url}/token"' in headers["WWW-Authenticate"]

    def token(repository, **headers):
        query = urllib.parse.urlencode({"service": "fake", "scope": f"repository:{repository}:pull"})
        return json.loads(ask(upstream, f"/token?{query}", **headers)[2])["token"]

    def pull(repository, bearer):
        return ask(upstream, f"/v2/{repository}/manifests/1", Authorization=f"Bearer {bearer}")[0]

    anonymous = token("secret/app")
    assert pull("secret/app", anonymous) == 401
    assert pull("team/app", token("team/app")) == 200
    password = base64.b64encode(b"me:secret").decode()
    mine = token("secret/app", Authorization=f"Basic {password}")
    assert pull("secret/app", mine) == 200
    assert pull("team/app", mine) == 401
    upstream.auth.revoke()
    assert pull("secret/app", mine) == 401


def test_redirected_blobs_refuse_a_credential(upstream, image):
    with Upstream() as cdn:
        cdn.repositories = upstream.repositories
        upstream.blobs_at = cdn
        layer = image.layers[0]
        status, headers, _ = ask(upstream, f"/v2/team/app/blobs/{layer}")
        assert status == 307
        location = urllib.parse.urlsplit(headers["Location"])
        assert ask(cdn, location.path)[2] == image.blobs[layer]
        assert ask(cdn, location.path, Authorization="Bearer x")[0] == 400


def test_tls():
    import ssl
    with Upstream(tls=True) as upstream:
        context = ssl.create_default_context(cafile=upstream.ca_file)
        with urllib.request.urlopen(f"{upstream.url}/v2/", context=context) as response:
            assert response.status == 200


def test_refuses_and_listens_again(upstream, image):
    upstream.refuse()
    with pytest.raises(ConnectionRefusedError):
        ask(upstream, "/v2/")
    upstream.accept()
    assert ask(upstream, "/v2/")[0] == 200


def blob(upstream, image):
    return ask(upstream, f"/v2/team/app/blobs/{image.layers[0]}")


def test_reset(upstream, image):
    upstream.fail("blobs", faults.reset(), times=1)
    with pytest.raises(ConnectionResetError):
        blob(upstream, image)
    upstream.fail("blobs", faults.reset(after=1000), times=1)
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        blob(upstream, image)
    assert blob(upstream, image)[0] == 200


def test_hang(upstream, image):
    upstream.fail("blobs", faults.hang())
    with socket.create_connection((upstream.host, upstream.port)) as connection:
        connection.sendall(f"GET /v2/team/app/blobs/{image.layers[0]} HTTP/1.1\r\n\r\n".encode())
        upstream.wait_until(lambda it: it.count("GET", "blobs") == 1)
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)


@pytest.mark.parametrize("fault", [faults.truncate(), faults.wrong_length(+10)])
def test_ends_early(upstream, image, fault):
    upstream.fail("blobs", fault)
    with pytest.raises(http.client.IncompleteRead):
        blob(upstream, image)


def test_wrong_bytes(upstream, image):
    upstream.fail("blobs", faults.corrupt())
    body = blob(upstream, image)[2]
    good = image.blobs[image.layers[0]]
    assert len(body) == len(good) and sum(a != b for a, b in zip(body, good)) == 1


def test_status(upstream, image):
    upstream.fail("manifests", faults.status(429, Retry_After=7), times=1)
    status, headers, _ = ask(upstream, "/v2/team/app/manifests/1")
    assert (status, headers["Retry-After"]) == (429, "7")
    assert ask(upstream, "/v2/team/app/manifests/1")[0] == 200


def test_redirects_without_end(upstream, image):
    upstream.fail("manifests", faults.redirect_forever())
    path = "/v2/team/app/manifests/1"
    for number in range(1, 5):
        status, headers, _ = ask(upstream, path)
        path = headers["Location"]
        assert (status, path) == (302, f"/v2/team/app/manifests/1?again={number}")


def test_slow(upstream, image):
    upstream.fail("blobs", faults.slow(1_000_000))
    started = time.monotonic()
    assert blob(upstream, image)[2] == image.blobs[image.layers[0]]
    assert time.monotonic() - started > 0.15


def test_gate(upstream, image):
    gate = faults.Gate(100_000)
    upstream.fail("blobs", faults.gate(gate))
    with socket.create_connection((upstream.host, upstream.port), timeout=10) as connection:
        connection.sendall(f"GET /v2/team/app/blobs/{image.layers[0]} HTTP/1.1\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert gate.reached.wait(10)
        assert response.read(100_000) == image.blobs[image.layers[0]][:100_000]
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        threading.Timer(0.05, gate.open).start()
        connection.settimeout(10)
        rest = b""
        while len(rest) < 100_000:
            rest += connection.recv(1 << 20)
        assert rest == image.blobs[image.layers[0]][100_000:]
