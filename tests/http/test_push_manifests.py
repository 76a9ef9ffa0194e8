"""Manifests that are pushed: all kinds of them, their tags, and what is wrong with some."""

import json
import urllib.parse

import pytest

from fakes import images
from fakes.images import digest_of
from harness.push import Repository, path_of
from harness.server import in_parallel

LIMIT = 4 << 20
ABSENT = {"mediaType": images.OCI_LAYER, "digest": digest_of(b"nowhere"), "size": 7}


def assert_fails(response, status, *codes):
    assert response.status == status, response
    assert response.error["code"] in codes, response


def assert_pushed(response, repository, digest):
    assert response.status == 201, response
    assert response.digest == digest
    place = path_of(response.headers["location"])
    assert place.startswith(f"/v2/{repository.name}/manifests/")
    assert repository.client.get(place).digest == digest
    assert response.headers["content-length"] == "0"


def document(media_type=images.OCI_MANIFEST, **changes):
    config = images.descriptor(b"{}", images.OCI_CONFIG)
    whole = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": []}
    whole.update(changes)
    return {key: value for key, value in whole.items() if value is not None}


def encoded(value):
    return json.dumps(value).encode()


@pytest.fixture
def ready(repository):
    """With the config {} there."""
    repository.push_blob(b"{}")
    return repository


CHILDREN = [images.image(seed=seed) for seed in range(3)]
SUBJECT = images.image(seed="subject")
KINDS = {
    "image": images.image([1000, 2000], seed="image"),
    "docker": images.image(docker=True, seed="docker"),
    "no layers": images.image([], seed="none"),
    "empty layer": images.image([b""], seed="empty"),
    "one layer twice": images.image([b"same", b"same"], seed="twice"),
    "sha512 blobs": images.image(algorithm="sha512", seed="sha512"),
    "index": images.index(CHILDREN),
    "docker list": images.index([images.image(docker=True, seed="list")], docker=True),
    "index of indexes": images.index([images.index(CHILDREN[:1]), CHILDREN[1]]),
    "empty index": images.index([]),
    "artifact": images.image([b"sbom"], config=b"{}", artifactType="application/spdx+json"),
    "with a subject": images.artifact(SUBJECT, "test/signature", b"signed"),
    "odd fields": images.image(seed="odd", **{"org.example": {"a": [1, None, {"b": "\u00fc"}]}}),
    "data in descriptors": images.image(seed="data", subject={
        **images.descriptor(b"{}", images.OCI_MANIFEST), "data": "e30="}),
}


@pytest.mark.parametrize("image", KINDS.values(), ids=KINDS)
class TestKinds:
    def test_by_tag(self, repository, image):
        for part in [*image.children]:
            repository.push(part)
        for content in image.blobs.values():
            repository.push_blob(content, image.algorithm)
        response = repository.put_manifest("1.0", image.body, image.media_type)
        assert_pushed(response, repository, digest_of(image.body))
        for reference in ("1.0", digest_of(image.body)):
            for method in ("HEAD", "GET"):
                got = repository.manifest(reference, method)
                assert got.status == 200
                assert got.headers["content-type"] == image.media_type
                assert got.headers["content-length"] == str(len(image.body))
                assert (got.digest, got.cache) == (digest_of(image.body), "local")
            assert got.body == image.body
        assert repository.tags().json == {"name": "team/app", "tags": ["1.0"]}

    @pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
    def test_by_digest(self, repository, image, algorithm):
        digest = digest_of(image.body, algorithm)
        for part in image.children:
            repository.push(part)
        for content in image.blobs.values():
            repository.push_blob(content, image.algorithm)
        assert_pushed(repository.put_manifest(digest, image.body, image.media_type), repository, digest)
        assert repository.manifest(digest).body == image.body
        assert repository.tags().json["tags"] == []


@pytest.mark.parametrize("media_type", [
    "application/vnd.example.thing.v7+json", "application/json",
    "application/vnd.oci.artifact.manifest.v1+json"])
def test_any_media_type(ready, media_type):
    body = encoded({"mediaType": media_type, "things": [1, 2]})
    assert_pushed(ready.put_manifest("x", body, media_type), ready, digest_of(body))
    response = ready.manifest("x")
    assert (response.body, response.headers["content-type"]) == (body, media_type)


def test_the_content_type_says_what_the_body_does_not(ready):
    body = encoded(document(media_type=None))
    assert ready.put_manifest("x", body, images.OCI_MANIFEST).status == 201
    assert ready.manifest("x").headers["content-type"] == images.OCI_MANIFEST


def test_the_body_says_what_the_content_type_does_not(ready):
    body = encoded(document())
    assert ready.put_manifest("x", body).status == 201
    assert ready.manifest("x").headers["content-type"] == images.OCI_MANIFEST


def test_parameters_of_the_content_type(ready):
    body = encoded(document())
    assert ready.put_manifest("x", body, images.OCI_MANIFEST + "; charset=utf-8").status == 201
    assert ready.manifest("x").headers["content-type"] == images.OCI_MANIFEST


def test_accept_does_not_change_a_manifest(ready):
    """Another form of it would have another digest."""
    body = encoded(document())
    ready.put_manifest("x", body, images.OCI_MANIFEST)
    for accept in (images.DOCKER_MANIFEST, "text/html", "*/*", images.OCI_MANIFEST):
        assert ready.manifest("x", Accept=accept).body == body


@pytest.mark.parametrize("body", [
    b'{"schemaVersion":2,"config":%s,"layers":[]}',
    b'\n\t {  "layers":[ ], "config" :%s\n,"schemaVersion" : 2 }  \r\n',
    b'{"schemaVersion":2,"config":%s,"layers":[],"x":{"\\u00e9":"\xc3\xa9","n":[1e400,-0,1.50]}}',
], ids=["compact", "spaced", "escapes"])
def test_byte_for_byte(ready, body):
    body %= encoded(images.descriptor(b"{}", images.OCI_CONFIG))
    assert_pushed(ready.put_manifest("x", body, images.OCI_MANIFEST), ready, digest_of(body))
    assert ready.manifest("x").body == body


def test_conditional_requests(ready):
    body = encoded(document())
    ready.put_manifest("x", body, images.OCI_MANIFEST)
    etag = ready.manifest("x").headers["etag"]
    assert ready.manifest("x", If_None_Match=etag).status == 304
    ready.put_manifest("x", body + b"\n", images.OCI_MANIFEST)
    assert ready.manifest("x", If_None_Match=etag).body == body + b"\n"


# ---- refused ----------------------------------------------------------------


REFUSED = {
    "nothing": b"",
    "no JSON": b"this is no JSON",
    "half": b"{\"schemaVersion\": 2",
    "a list": b"[]",
    "a string": b"\"x\"",
    "null": b"null",
    "two documents": b"{}{}",
    "an image and an index": encoded(document(manifests=[])),
    "deep": b"{\"a\":" * 60 + b"1" + b"}" * 60,
    "layers are no list": encoded(document(layers={})),
    "config is a string": encoded(document(config="x")),
    "a digest that is none": encoded(document(layers=[{**ABSENT, "digest": "sha256:zz"}])),
    "no digest": encoded(document(layers=[{"mediaType": images.OCI_LAYER, "size": 7}])),
    "a path as a digest": encoded(document(layers=[{**ABSENT, "digest": "../../../etc/passwd"}])),
    "a negative size": encoded(document(layers=[{**ABSENT, "size": -1}])),
    "a huge size": encoded(document(layers=[{**ABSENT, "size": 1 << 60}])),
    "a size that is none": encoded(document(layers=[{**ABSENT, "size": "7"}])),
    "a subject that is none": encoded(document(subject={"digest": "x", "size": 1})),
    "another media type": encoded(document(media_type=images.OCI_INDEX)),
    "NUL": b"{\"schemaVersion\":2,\x00}",
    "not UTF-8": b"{\"a\":\"\xff\xfe\"",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_refused(ready, body):
    assert_fails(ready.put_manifest("x", body, images.OCI_MANIFEST), 400, "MANIFEST_INVALID")
    assert ready.manifest("x").status == 404
    assert ready.manifest(digest_of(body)).status == 404


@pytest.mark.parametrize("media_type", ["application/vnd.docker.distribution.manifest.v1+json",
                                        "application/vnd.docker.distribution.manifest.v1+prettyjws"])
def test_schema_1(ready, media_type):
    body = encoded({"schemaVersion": 1, "name": "x", "tag": "x", "fsLayers": [], "history": []})
    for said in (media_type, "application/json", images.DOCKER_MANIFEST):
        response = ready.put_manifest("x", body, said)
        assert_fails(response, 400, "MANIFEST_INVALID", "UNSUPPORTED")
    assert "schema" in response.error["message"].lower()
    assert ready.manifest("x").status == 404


def test_another_digest_than_it_has(ready):
    body = encoded(document())
    for algorithm in ("sha256", "sha512"):
        wrong = digest_of(b"something else", algorithm)
        response = ready.put_manifest(wrong, body, images.OCI_MANIFEST)
        assert_fails(response, 400, "DIGEST_INVALID")
        assert ready.manifest(wrong).status == 404
    assert ready.manifest(digest_of(body)).status == 404


@pytest.mark.parametrize("reference", [
    "-x", ".x", "x" * 129, "a+b", "a%20b", "sha256:zz", "sha256:" + "0" * 63, "md5:" + "0" * 32,
    "sha256:" + "A" * 64, "%2e%2e", "a%2fb", "a%00", "\u00fc".encode().hex(), "..."])
def test_a_reference_that_is_none(ready, reference):
    body = encoded(document())
    response = ready.put_manifest(reference, body, images.OCI_MANIFEST)
    if response.status == 201:      # some of these are tags, if odd ones
        assert reference in ready.tags().json["tags"] and reference[0] not in "-.%"
        return
    assert response.status in (400, 404), response
    assert response.error["code"] in ("TAG_INVALID", "DIGEST_INVALID", "MANIFEST_INVALID",
                                      "UNSUPPORTED", "NAME_INVALID")
    assert ready.manifest(digest_of(body)).status == 404


# ---- how large --------------------------------------------------------------


def padded(size):
    body = encoded(document(annotations={"padding": ""}))
    return body.replace(b'"padding": ""', b'"padding": "' + b"x" * (size - len(body)) + b'"')


def test_four_megabytes(ready):
    body = padded(LIMIT)
    assert len(body) == LIMIT
    assert_pushed(ready.put_manifest("x", body, images.OCI_MANIFEST), ready, digest_of(body))
    assert ready.manifest("x").body == body


def test_one_byte_more(ready):
    body = padded(LIMIT + 1)
    for sent in (body, iter([body])):
        assert_fails(ready.put_manifest("x", sent, images.OCI_MANIFEST), 413, "SIZE_INVALID")
    assert ready.manifest("x").status == 404


def test_far_more_is_not_even_read(local, ready):
    before = local.peak_memory()
    response = ready.put_manifest("x", b"x" * (64 << 20), images.OCI_MANIFEST)
    assert_fails(response, 413, "SIZE_INVALID")
    assert local.peak_memory() - before < 16 << 20


def test_too_many_layers(ready):
    layer = {"mediaType": images.OCI_LAYER, "digest": digest_of(b"{}"), "size": 2}
    body = encoded(document(layers=[layer] * 10_001))
    response = ready.put_manifest("x", body, images.OCI_MANIFEST)
    assert (response.status, response.error["code"]) in (
        (400, "MANIFEST_INVALID"), (413, "SIZE_INVALID")), response


# ---- what it lists ----------------------------------------------------------


def test_blobs_that_are_missing(repository):
    image = images.image([1000, 2000], seed=1)
    digests = list(image.blobs)
    for missing in digests:
        assert_fails(repository.put_manifest("1", image.body, image.media_type), 400,
                     "MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN")
        response = repository.put_manifest("1", image.body, image.media_type)
        assert_fails(response, 400, "MANIFEST_BLOB_UNKNOWN")
        assert missing in json.dumps(response.error)
        assert repository.manifest("1").status == 404
        repository.push_blob(image.blobs[missing])
    assert repository.put_manifest("1", image.body, image.media_type).status == 201


def test_blobs_of_another_repository_do_not_count(local, repository):
    image = images.image([1000], seed=1)
    Repository(local, "team/other").push(image)
    assert_fails(repository.put_manifest("1", image.body, image.media_type), 400,
                 "MANIFEST_BLOB_UNKNOWN")
    for digest in image.blobs:
        assert repository.mount(digest, "team/other").status == 201
    assert repository.put_manifest("1", image.body, image.media_type).status == 201


@pytest.mark.parametrize("layer", [
    {**ABSENT, "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"},
    {**ABSENT, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
     "urls": ["https://elsewhere.example/layer"]},
])
def test_foreign_layers_may_be_elsewhere(ready, layer):
    body = encoded(document(layers=[layer]))
    assert ready.put_manifest("x", body, images.OCI_MANIFEST).status == 201


MISSING_CHILD = {"mediaType": images.OCI_MANIFEST, "digest": digest_of(b"no child"), "size": 8}


@pytest.mark.parametrize("checks, index, image", [
    (None, 201, 400), ("blobs", 201, 400), ("all", 400, 400), ("none", 201, 201)])
def test_what_is_checked(serve, checks, index, image):
    server = serve(upstreams={}, config={"uploads": {"checkReferences": checks}} if checks else None)
    repository = Repository(server, "team/app")
    repository.push_blob(b"{}")
    sparse = images.index([], missing=[MISSING_CHILD])
    found = repository.put_manifest("index", sparse.body, sparse.media_type)
    assert found.status == index, found
    if index == 400:
        assert found.error["code"] == "MANIFEST_BLOB_UNKNOWN"
        assert MISSING_CHILD["digest"] in json.dumps(found.error)
        child = images.image([10], seed="child")
        repository.push(child)
        whole = images.index([child])
        assert repository.put_manifest("index", whole.body, whole.media_type).status == 201
    found = repository.put_manifest("image", encoded(document(layers=[ABSENT])), images.OCI_MANIFEST)
    assert found.status == image, found
    subject = images.artifact(SUBJECT, "test/signature", b"{}")
    assert repository.put_manifest("signature", subject.body, subject.media_type).status == 201


# ---- tags -------------------------------------------------------------------


def test_a_tag_moves(repository):
    for seed in range(5):
        image = repository.push(images.image([100], seed=seed), "latest")
        repository.assert_pulls(image, "latest")
    for seed in range(5):
        repository.assert_pulls(images.image([100], seed=seed))
    assert repository.tags().json["tags"] == ["latest"]


def test_tags_in_one_push(ready):
    body = encoded(document())
    digest = digest_of(body)
    tags = ["1.2.3", "1.2", "1", "latest", *(f"more-{number}" for number in range(12))]
    response = ready.put_manifest(digest, body, images.OCI_MANIFEST, tags)
    assert_pushed(response, ready, digest)
    said = response.headers["oci-tag"].replace(" ", "").split(",")
    assert sorted(said) == sorted(tags)
    for tag in tags:
        assert ready.manifest(tag).body == body
    assert ready.tags().json["tags"] == sorted(tags)


def test_tags_beside_a_sha512_digest(ready):
    body = encoded(document())
    digest = digest_of(body, "sha512")
    assert ready.put_manifest(digest, body, images.OCI_MANIFEST, ["a"]).status == 201
    assert ready.manifest("a").body == body
    assert ready.manifest("a").digest == digest


@pytest.mark.parametrize("tags", [["good", "-bad"], ["good", ""], ["good", "x" * 129], ["a/b"],
                                  ["good", "sha256:" + "0" * 64]])
def test_a_bad_tag_among_good_ones(ready, tags):
    """All of them, or none."""
    body = encoded(document())
    response = ready.put_manifest(digest_of(body), body, images.OCI_MANIFEST, tags)
    assert_fails(response, 400, "TAG_INVALID")
    assert ready.manifest("good").status == 404
    assert ready.manifest(digest_of(body)).status == 404


def test_too_many_tags(ready):
    body = encoded(document())
    tags = [f"t{number}" for number in range(500)]
    response = ready.put_manifest(digest_of(body), body, images.OCI_MANIFEST, tags)
    assert response.status in (414, 431), response
    assert ready.manifest("t0").status == 404


def test_tags_where_a_tag_is_pushed(ready):
    body = encoded(document())
    response = ready.put_manifest("x", body, images.OCI_MANIFEST, ["y"])
    assert response.status in (201, 400)
    if response.status == 400:
        assert ready.manifest("x").status == 404
    else:
        assert ready.manifest("y").status == 404 or ready.manifest("y").body == body


@pytest.fixture
def tagged(ready):
    """Ten tags, in an order that is none."""
    body = encoded(document())
    for tag in ("b10", "B", "a", "_x", "b9", "1.0", "1.10", "1.2", "c-d", "C"):
        assert ready.put_manifest(tag, body, images.OCI_MANIFEST).status == 201
    return ready


TAGS = sorted(["b10", "B", "a", "_x", "b9", "1.0", "1.10", "1.2", "c-d", "C"])


def test_tags_are_sorted(tagged):
    response = tagged.tags()
    assert response.json == {"name": "team/app", "tags": TAGS}
    assert response.headers["content-type"].startswith("application/json")
    assert "link" not in response.headers


@pytest.mark.parametrize("size", [1, 2, 3, 9, 10, 11, 1000])
def test_tags_in_pages(tagged, size):
    found, response = [], tagged.tags(n=size)
    while True:
        page = response.json["tags"]
        found += page
        link = response.headers.get("link")
        if link is None:
            break
        assert len(page) == size and link.endswith('; rel="next"')
        response = tagged.client.get(link[1:link.index(">")])
    assert found == TAGS


def test_tags_after_one(tagged):
    assert tagged.tags(last="b10").json["tags"] == TAGS[TAGS.index("b10") + 1:]
    assert tagged.tags(last="b10", n=1).json["tags"] == ["b9"]
    assert tagged.tags(last="b11").json["tags"] == TAGS[TAGS.index("b10") + 1:]   # there is no b11
    assert tagged.tags(last="zzz").json["tags"] == []
    assert tagged.tags(last="").status in (200, 400)


def test_no_tags_at_all(tagged):
    response = tagged.tags(n=0)
    assert (response.status, response.json["tags"]) == (200, [])
    assert "link" not in response.headers


@pytest.mark.parametrize("n", ["-1", "x", "1.5", "0x10", "9" * 30])
def test_a_number_that_is_none(tagged, n):
    response = tagged.tags(n=n)
    if response.status == 200:
        assert response.json["tags"] == TAGS
    else:
        assert_fails(response, 400, "PAGINATION_NUMBER_INVALID")


def test_a_repository_that_is_not_there(local):
    repository = Repository(local, "no/where")
    assert_fails(repository.tags(), 404, "NAME_UNKNOWN")
    assert_fails(repository.manifest("1"), 404, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")
    assert_fails(repository.blob(digest_of(b"")), 404, "BLOB_UNKNOWN", "NAME_UNKNOWN")


# ---- at once ----------------------------------------------------------------


def test_two_pushers_of_one_tag(local):
    """One of the two wins, whole, and everybody sees the same one."""
    for number in range(20):
        pair = [images.image([5000], seed=f"{number}/{name}") for name in "ab"]
        pushers = [Repository(local, "team/app") for _ in pair]
        for image, pusher in zip(pair, pushers):
            for content in image.blobs.values():
                pusher.push_blob(content)
        answers = in_parallel([
            lambda image=image, pusher=pusher: pusher.put_manifest("tag", image.body, image.media_type)
            for image, pusher in zip(pair, pushers)])
        assert [answer.status for answer in answers] == [201, 201]
        winner = pushers[0].manifest("tag")
        assert winner.body in [image.body for image in pair]
        pushers[0].assert_pulls(pair[[image.body for image in pair].index(winner.body)], "tag")
        for pusher, image in zip(pushers, pair):
            assert pusher.manifest("tag").digest == winner.digest
            pusher.assert_pulls(image)
            pusher.close()
    local.restart()
    assert Repository(local, "team/app").manifest("tag").digest == winner.digest


def test_a_tag_is_never_half(local, repository):
    """Readers see one image after the other, never something else."""
    series = [images.image([1000], seed=f"series/{number}") for number in range(30)]
    for image in series:
        for content in image.blobs.values():
            repository.push_blob(content)
    repository.put_manifest("tag", series[0].body, series[0].media_type)
    place = {image.digest: number for number, image in enumerate(series)}

    def push():
        for image in series:
            assert repository.put_manifest("tag", image.body, image.media_type).status == 201

    def read():
        reader, seen = Repository(local, "team/app"), 0
        while seen < len(series) - 1:
            response = reader.manifest("tag")
            assert response.status == 200
            assert place[response.digest] >= seen, "a tag went back"
            seen = place[response.digest]
        reader.close()
    in_parallel([push, read, read])


def test_everything_is_there_after_a_kill(local, repository):
    kept = [repository.push(image, urllib.parse.quote(f"tag-{number}"))
            for number, image in enumerate(KINDS.values()) if image.algorithm == "sha256"]
    local.kill()
    local.start()
    repository.close()
    for image in kept:
        repository.assert_pulls(image)
    assert len(repository.tags().json["tags"]) == len(kept)


def test_everything_is_there_without_the_index(local, repository):
    """The object store is the truth; the index may be deleted."""
    image = repository.push(images.image([1000], seed=1), "1")
    signature = repository.push(images.artifact(image, "test/signature", b"x"))
    assert local.stop() == 0
    for path in local.folder.glob("index.db*"):
        path.unlink()
    local.start()
    repository.close()
    repository.assert_pulls(image, "1")
    repository.assert_pulls(signature)
    assert repository.tags().json["tags"] == ["1"]
