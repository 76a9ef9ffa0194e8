"""What every reply tells, and ranges of stored blobs."""

import pytest

from fakes import images
from harness.server import NAME

DIGEST = "sha256:" + "0" * 64


def test_the_api_announces_itself(upstream, serve):
    response = serve(upstream).get("/v2/")
    assert response.status == 200
    assert response.headers["docker-distribution-api-version"] == "registry/2.0"


@pytest.mark.parametrize("docker", [False, True])
@pytest.mark.parametrize("reference", ["tag", "digest"])
def test_manifest(upstream, serve, docker, reference):
    image = upstream.add("team/app", "1", images.image(docker=docker))
    server = serve(upstream)
    reference = "1" if reference == "tag" else image.digest
    replies = [server.manifest("team/app", reference, method=method)
               for method in ("HEAD", "GET", "GET", "HEAD")]
    for reply in replies:
        assert reply.status == 200
        assert reply.headers["content-type"] == image.media_type
        assert reply.headers["content-length"] == str(len(image.body))
        assert reply.digest == image.digest
        assert reply.headers["oci-namespace"] == NAME
        assert reply.headers["docker-distribution-api-version"] == "registry/2.0"
        assert "warning" not in reply.headers
    assert [reply.body for reply in replies] == [b"", image.body, image.body, b""]
    assert replies[0].cache == "miss"
    assert [reply.cache for reply in replies[2:]] == ["hit", "hit"]


def test_blob(upstream, image, serve):
    server = serve(upstream, prefetchLayers=False)
    layer = image.layers[0]
    replies = [server.blob("team/app", layer, method=method)
               for method in ("HEAD", "GET", "GET", "HEAD")]
    for reply in replies:
        assert reply.status == 200
        assert reply.headers["content-length"] == str(len(image.blobs[layer]))
        assert reply.headers["content-type"] == "application/octet-stream"
        assert reply.digest == layer
        assert reply.headers["oci-namespace"] == NAME
    content = image.blobs[layer]
    assert [reply.body for reply in replies] == [b"", content, content, b""]
    assert replies[1].cache == "miss"
    server.wait_until(lambda: server.blob("team/app", layer).cache == "hit")


def test_sha512(upstream, serve):
    image = upstream.add("team/app", "1", images.image([100_000], algorithm="sha512"))
    server = serve(upstream)
    assert image.digest.startswith("sha512:")
    assert server.manifest("team/app", image.digest).body == image.body
    assert server.blob("team/app", image.layers[0]).body == image.blobs[image.layers[0]]
    assert server.blob("team/app", image.layers[0]).status == 200


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072, 1 << 20])
def test_blobs_of_odd_sizes(upstream, serve, size):
    image = upstream.add("team/app", "1", images.image([size]))
    server = serve(upstream, prefetchLayers=False)
    for _ in range(2):
        reply = server.blob("team/app", image.layers[0])
        assert (reply.status, reply.body) == (200, image.blobs[image.layers[0]])


def test_each_request_has_an_id_that_the_log_knows(upstream, image, serve):
    server = serve(upstream)
    replies = [server.manifest("team/app", "1"), server.manifest("team/app", "none"),
               server.get("/v2/"), server.get("/nowhere")]
    identities = [reply.headers["x-request-id"] for reply in replies]
    assert len(set(identities)) == 4
    server.wait_until(lambda: all(identity in server.stderr() for identity in identities))
    line = next(line for line in server.log_lines()
                if identities[0] in line.values() and "http.request.uri" in line)
    assert line["http.request.method"] == "GET"


@pytest.fixture
def stored(upstream, image, serve):
    """A server that has the image's first layer, and the layer's digest and content."""
    server = serve(upstream)
    layer = image.layers[0]
    assert server.blob("team/app", layer).status == 200
    server.wait_until(lambda: server.blob("team/app", layer).cache == "hit")
    return server, layer, image.blobs[layer]


@pytest.mark.parametrize("value, first, end", [
    ("bytes=0-0", 0, 1),
    ("bytes=0-99", 0, 100),
    ("bytes=299999-299999", 299_999, 300_000),
    ("bytes=1000-", 1000, 300_000),
    ("bytes=0-", 0, 300_000),
    ("bytes=-100", 299_900, 300_000),
    ("bytes=-400000", 0, 300_000),
    ("bytes=299990-400000", 299_990, 300_000),
])
def test_range(stored, value, first, end):
    server, layer, content = stored
    reply = server.blob("team/app", layer, Range=value)
    assert (reply.status, reply.body) == (206, content[first:end])
    assert reply.headers["content-range"] == f"bytes {first}-{end - 1}/{len(content)}"
    assert reply.headers["content-length"] == str(end - first)


@pytest.mark.parametrize("value", ["bytes=300000-", "bytes=400000-500000", "bytes=-0", "bytes=500-0"])
def test_range_that_cannot_be(stored, value):
    server, layer, content = stored
    reply = server.blob("team/app", layer, Range=value)
    assert reply.status == 416
    assert reply.headers["content-range"] == f"bytes */{len(content)}"


@pytest.mark.parametrize("value", [
    "bytes=", "bytes=a-b", "bytes=1-2,5-6", "bytes=5-3,1-2", "lines=1-2", "bytes 0-5", "bytes=--5",
    "bytes=0x10-", "bytes=18446744073709551616-", "bytes=0-18446744073709551616", "bytes=1-2-3"])
def test_range_that_is_none(stored, value):
    """RFC 9110, 14.2: what is not understood is ignored; nothing is answered wrongly."""
    server, layer, content = stored
    reply = server.blob("team/app", layer, Range=value)
    assert reply.status in (200, 206, 400, 416)
    if reply.status == 200:
        assert reply.body == content
    if reply.status == 206:
        first, last = reply.headers["content-range"].split(" ")[1].split("/")[0].split("-")
        assert reply.body == content[int(first):int(last) + 1]


def test_several_ranges_are_answered_with_the_whole(stored):
    server, layer, content = stored
    reply = server.blob("team/app", layer, Range="bytes=0-9,20-29")
    assert (reply.status, reply.body) == (200, content)


def test_if_range(stored):
    server, layer, content = stored
    good = server.blob("team/app", layer, Range="bytes=5-9", If_Range=f'"{layer}"')
    assert (good.status, good.body) == (206, content[5:10])
    for value in (f'W/"{layer}"', f'"{DIGEST}"', "Sat, 31 Jan 2026 08:05:09 GMT"):
        reply = server.blob("team/app", layer, Range="bytes=5-9", If_Range=value)
        assert (reply.status, reply.body) == (200, content)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_blob_that_the_client_has(stored, method):
    server, layer, _ = stored
    reply = server.blob("team/app", layer, method=method, If_None_Match=f'"{DIGEST}", "{layer}"')
    assert (reply.status, reply.body) == (304, b"")
    assert reply.headers["etag"] == f'"{layer}"'
    assert server.blob("team/app", layer, method=method, If_None_Match=f'"{DIGEST}"').status == 200


def test_head_of_a_blob_says_what_get_says(stored):
    server, layer, _ = stored
    get = server.blob("team/app", layer)
    head = server.blob("team/app", layer, method="HEAD", Range="bytes=0-9")
    for name in get.headers.keys() - {"date", "x-request-id", "x-breakwater-cache"}:
        assert head.headers[name] == get.headers[name]
    assert head.headers.keys() == get.headers.keys()


@pytest.mark.parametrize("path, status, code", [
    ("/v2/team/app/manifests/none", 404, "MANIFEST_UNKNOWN"),
    (f"/v2/team/app/manifests/{DIGEST}", 404, "MANIFEST_UNKNOWN"),
    (f"/v2/team/app/blobs/{DIGEST}", 404, "BLOB_UNKNOWN"),
    ("/v2/none/manifests/1", 404, "MANIFEST_UNKNOWN NAME_UNKNOWN"),
    ("/v2/none/tags/list", 404, "NAME_UNKNOWN"),
])
def test_absent(upstream, image, serve, path, status, code):
    server = serve(upstream)
    reply = server.get(f"{path}?ns={NAME}")
    assert reply.status == status
    assert reply.error["code"] in code.split()
    assert "x-request-id" in reply.headers
    head = server.head(f"{path}?ns={NAME}")
    assert (head.status, head.body) == (status, b"")


def test_request_on_one_connection_after_another(upstream, image, serve):
    server = serve(upstream)
    with server.client() as client:
        for _ in range(3):
            assert client.get(f"/v2/team/app/manifests/1?ns={NAME}").body == image.body
            assert client.head(f"/v2/team/app/manifests/1?ns={NAME}").status == 200
            assert client.get(f"/v2/team/app/blobs/{image.layers[1]}?ns={NAME}").status == 200
            assert client.get("/v2/none/manifests/1").status == 404
