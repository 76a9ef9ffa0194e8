"""Indexes, artifacts, tag lists, referrers: passed through byte for byte, and cached."""

import json

import pytest

from fakes import faults, images
from harness.server import NAME

ABSENT = {"mediaType": images.OCI_MANIFEST, "digest": "sha256:" + "1" * 64, "size": 500,
          "platform": {"os": "linux", "architecture": "mips"}}


@pytest.mark.parametrize("docker", [False, True])
def test_index(upstream, serve, docker):
    children = [images.image(seed=seed, docker=docker) for seed in range(3)]
    index = upstream.add("team/multi", "1", images.index(children, docker))
    server = serve(upstream)
    reply = server.manifest("team/multi", "1")
    assert (reply.body, reply.headers["content-type"]) == (index.body, index.media_type)
    for child in children:
        assert server.manifest("team/multi", child.digest).body == child.body


def test_sparse_index(upstream, serve):
    """An index some of whose images are nowhere is served as it is."""
    child = images.image(seed=1)
    index = upstream.add("team/multi", "1", images.index([child], missing=[ABSENT]))
    server = serve(upstream)
    assert server.manifest("team/multi", "1").body == index.body
    assert server.manifest("team/multi", ABSENT["digest"]).status == 404
    assert server.manifest("team/multi", child.digest).status == 200
    upstream.refuse()
    assert server.manifest("team/multi", index.digest).body == index.body
    assert server.manifest("team/multi", child.digest).body == child.body


def test_index_does_not_fetch_every_platform(upstream, serve):
    children = [images.image([50_000], seed=seed) for seed in range(3)]
    upstream.add("team/multi", "1", images.index(children))
    server = serve(upstream)
    server.manifest("team/multi", "1")
    server.pull("team/multi", children[1].digest)
    asked = {exchange.reference for exchange in upstream.asked(kind="blobs")}
    assert asked == set(children[1].blobs)


def test_artifact_with_odd_types(upstream, image, serve):
    artifact = upstream.add("team/app", "sbom", images.artifact(image, "test/sbom", b"things"))
    server = serve(upstream)
    assert server.manifest("team/app", "sbom").body == artifact.body
    assert server.blob("team/app", artifact.layers[0]).body == b"things"


def test_a_manifest_at_the_limit(upstream, serve):
    """4 MiB are allowed."""
    image = images.image(annotations={"padding": "x" * (4 * 1024 * 1024 - 2000)})
    upstream.add("team/app", "1", image)
    assert len(image.body) <= 4 << 20
    assert serve(upstream).manifest("team/app", "1").body == image.body


def test_descriptor_urls_are_never_fetched(upstream, other, serve):
    image = images.image([1000])
    document = image.document
    document["layers"][0]["urls"] = [f"{other.url}/steal"]
    body = json.dumps(document).encode()
    listed = upstream.add("team/app", "1", images.Manifest(body, image.media_type, image.blobs))
    serve(upstream).pull("team/app", listed.digest)
    assert other.exchanges == []


# Tags

def tags(server, query="", name="team/app"):
    separator = "&" if query else ""
    return server.get(f"/v2/{name}/tags/list?{query}{separator}ns={NAME}")


@pytest.fixture
def tagged(upstream):
    """team/app with the tags a to g; the upstream lists two at a time."""
    for tag in "abcdefg":
        upstream.add("team/app", tag, images.image())
    upstream.page_size = 2
    return upstream


def test_all_tags(tagged, serve):
    reply = tags(serve(tagged))
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("application/json")
    assert reply.json == {"name": "team/app", "tags": list("abcdefg")}


def test_name_is_the_clients(tagged, serve):
    assert serve(tagged).get(f"/v2/{NAME}/team/app/tags/list").json["name"] in (
        f"{NAME}/team/app", "team/app")


def test_tags_in_pages(tagged, serve):
    server = serve(tagged)
    found, path = [], f"/v2/team/app/tags/list?n=3&ns={NAME}"
    for _ in range(10):
        reply = server.get(path)
        assert len(reply.json["tags"]) <= 3
        found += reply.json["tags"]
        link = reply.headers.get("link")
        if not link:
            break
        assert link.endswith('; rel="next"') or 'rel="next"' in link
        path = link.partition(">")[0].lstrip("<")
        assert path.startswith("/v2/")
        if "ns=" not in path:
            path += f"&ns={NAME}"
    assert found == list("abcdefg")


def test_tags_after_one(tagged, serve):
    assert tags(serve(tagged), "last=e").json["tags"] == ["f", "g"]


@pytest.mark.parametrize("n", ["abc", "-1", "", "1.5", "0x10", "99999999999999999999"])
def test_number_that_is_none(tagged, serve, n):
    reply = tags(serve(tagged), f"n={n}")
    if reply.status == 200:   # clamped
        assert set(reply.json["tags"]) <= set("abcdefg")
    else:
        assert reply.status == 400 and reply.error["code"] == "PAGINATION_NUMBER_INVALID"


def test_huge_number_costs_nothing(tagged, serve):
    """CVE-2023-2253."""
    server = serve(tagged)
    before = server.peak_memory()
    assert tags(server, "n=2000000000").status in (200, 400)
    assert server.peak_memory() < before + (64 << 20)


def test_tags_are_cached_and_stale_when_the_upstream_is_down(tagged, serve):
    server = serve(tagged, manifestTTL="0s")
    assert tags(server).status == 200
    tagged.refuse()
    reply = tags(server)
    assert (reply.status, reply.json["tags"]) == (200, list("abcdefg"))
    assert reply.headers["warning"].startswith("110 ")
    assert tags(server, "n=2&last=b").json["tags"] == ["c", "d"]


def test_fresh_tags_are_not_asked_for(tagged, serve):
    server = serve(tagged, manifestTTL="1h")
    tags(server)
    tagged.forget()
    assert tags(server).json["tags"] == list("abcdefg")
    assert tagged.exchanges == []


def test_tags_that_cannot_be_had(tagged, serve):
    server = serve(tagged)
    tagged.fail("tags", faults.status(500))
    reply = tags(server)
    assert reply.status == 502
    assert NAME in reply.error["message"]


def test_tags_whose_pages_never_end(tagged, serve):
    tagged.fail("tags", faults.header("Link", '</v2/team/app/tags/list?n=2&last=a>; rel="next"'))
    reply = tags(serve(tagged))
    assert reply.status in (200, 502)


@pytest.mark.parametrize("link", ['<http://127.0.0.1:1/v2/x>; rel="next"', "<>", "nonsense", "<" * 5000,
                                  '</v2/secret/other/tags/list>; rel="next"'])
def test_odd_links(tagged, other, serve, link):
    tagged.fail("tags", faults.header("Link", link))
    reply = tags(serve(tagged))
    assert reply.status in (200, 502)
    assert tagged.count(repository="secret/other") == 0


@pytest.mark.parametrize("body", [b"", b"[]", b'{"tags": 5}', b'{"tags": [1, null]}',
                                  b'{"name":"x","tags":["../../x"]}', b"{" * 1000])
def test_tag_list_that_is_none(tagged, serve, body):
    tagged.fail("tags", faults.body(body))
    reply = tags(serve(tagged))
    assert reply.status in (200, 502)
    if reply.status == 200:
        assert all(tag not in reply.json["tags"] for tag in ("../../x", 1, None))


def test_no_tags(upstream, serve):
    upstream.repository("team/empty")
    reply = tags(serve(upstream), name="team/empty")
    assert reply.status == 200 and reply.json["tags"] in ([], None)


# Referrers

def referrers(server, digest, query=""):
    return server.get(f"/v2/team/app/referrers/{digest}?{query}ns={NAME}")


@pytest.fixture
def signed(upstream, image):
    signature = upstream.add("team/app", None, images.artifact(image, "test/signature", b"signed"))
    sbom = upstream.add("team/app", None, images.artifact(image, "test/sbom", b"listed"))
    return image, signature, sbom


def test_referrers(upstream, signed, serve):
    image, signature, sbom = signed
    reply = referrers(serve(upstream), image.digest)
    assert reply.status == 200
    assert reply.headers["content-type"] == images.OCI_INDEX
    assert reply.json["schemaVersion"] == 2 and reply.json["mediaType"] == images.OCI_INDEX
    assert {item["digest"] for item in reply.json["manifests"]} == {signature.digest, sbom.digest}


def test_referrers_of_one_type(upstream, signed, serve):
    image, signature, _ = signed
    reply = referrers(serve(upstream), image.digest, "artifactType=test/signature&")
    assert [item["digest"] for item in reply.json["manifests"]] == [signature.digest]
    assert reply.headers["oci-filters-applied"] == "artifactType"


def test_no_referrers(upstream, image, serve):
    reply = referrers(serve(upstream), image.digest)
    assert (reply.status, reply.json["manifests"]) == (200, [])
    assert reply.headers["content-type"] == images.OCI_INDEX


def test_referrers_of_nothing(upstream, image, serve):
    reply = referrers(serve(upstream), "sha256:" + "0" * 64)
    assert (reply.status, reply.json["manifests"]) == (200, [])


@pytest.mark.parametrize("digest", ["latest", "sha256:x", "sha256:" + "A" * 64, "sha256:" + "0" * 63])
def test_referrers_of_what_is_no_digest(upstream, image, serve, digest):
    reply = referrers(serve(upstream), digest)
    assert (reply.status, reply.error["code"]) == (400, "DIGEST_INVALID")


def test_referrers_by_the_fallback_tag(upstream, signed, serve):
    image, signature, _ = signed
    upstream.referrers_api = False
    index = images.index([signature])
    upstream.add("team/app", image.digest.replace(":", "-"), index)
    reply = referrers(serve(upstream), image.digest)
    assert [item["digest"] for item in reply.json["manifests"]] == [signature.digest]


def test_upstream_without_referrers(upstream, image, serve):
    upstream.referrers_api = False
    reply = referrers(serve(upstream), image.digest)
    assert (reply.status, reply.json["manifests"]) == (200, [])


def test_referrers_are_stale_when_the_upstream_is_down(upstream, signed, serve):
    image, signature, sbom = signed
    server = serve(upstream, manifestTTL="0s")
    referrers(server, image.digest)
    upstream.refuse()
    reply = referrers(server, image.digest)
    assert reply.status == 200
    assert {item["digest"] for item in reply.json["manifests"]} == {signature.digest, sbom.digest}
    assert reply.headers["warning"].startswith("110 ")


def test_referrers_that_cannot_be_had(upstream, signed, serve):
    upstream.fail("referrers", faults.status(500))
    assert referrers(serve(upstream), signed[0].digest).status == 502
