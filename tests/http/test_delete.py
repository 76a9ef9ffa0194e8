"""Deletion, and what it leaves alone."""

import pytest

from fakes import images
from fakes.images import digest_of
from harness.push import Repository
from harness.server import NAME

ABSENT = digest_of(b"nowhere")


def assert_fails(response, status, *codes):
    assert response.status == status, response
    assert response.error["code"] in codes, response


@pytest.fixture
def image(repository):
    """team/app:1, also called latest."""
    pushed = repository.push(images.image([3000, 2000], seed=1), "1")
    repository.put_manifest("latest", pushed.body, pushed.media_type)
    return pushed


# ---- tags and manifests -----------------------------------------------------


def test_a_tag(repository, image):
    response = repository.delete_manifest("1")
    assert (response.status, response.body) == (202, b"")
    assert_fails(repository.manifest("1"), 404, "MANIFEST_UNKNOWN")
    assert repository.manifest("1", "HEAD").status == 404
    repository.assert_pulls(image, "latest")
    repository.assert_pulls(image)
    assert repository.tags().json["tags"] == ["latest"]


def test_a_manifest_and_its_tags(repository, image):
    other = repository.push(images.image([100], seed=2), "other")
    assert repository.delete_manifest(image.digest).status == 202
    for reference in (image.digest, "1", "latest"):
        assert_fails(repository.manifest(reference), 404, "MANIFEST_UNKNOWN")
        assert repository.manifest(reference, "HEAD").status == 404
    assert repository.tags().json["tags"] == ["other"]
    repository.assert_pulls(other, "other")
    for digest, content in image.blobs.items():     # until they are deleted, or collected
        assert repository.blob(digest).body == content


def test_the_last_tag_leaves_an_empty_list(repository, image):
    repository.delete_manifest("1")
    repository.delete_manifest("latest")
    assert repository.tags().json["tags"] == []


def test_twice(repository, image):
    for reference in ("1", image.digest):
        assert repository.delete_manifest(reference).status == 202
        assert_fails(repository.delete_manifest(reference), 404, "MANIFEST_UNKNOWN")


def test_what_is_not_there(local, repository, image):
    for reference in ("none", ABSENT, digest_of(b"nowhere", "sha512")):
        assert_fails(repository.delete_manifest(reference), 404, "MANIFEST_UNKNOWN")
    assert_fails(repository.delete_blob(ABSENT), 404, "BLOB_UNKNOWN")
    elsewhere = Repository(local, "no/where")
    assert_fails(elsewhere.delete_manifest("1"), 404, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")
    assert_fails(elsewhere.delete_blob(image.layers[0]), 404, "BLOB_UNKNOWN", "NAME_UNKNOWN")
    repository.assert_pulls(image, "1")


@pytest.mark.parametrize("digest", ["sha256:zz", "x", "sha256:" + "A" * 64, "md5:" + "0" * 32])
def test_what_is_no_digest(repository, image, digest):
    assert repository.delete_blob(digest).status in (400, 404)
    repository.assert_pulls(image, "1")


def test_a_deleted_tag_can_be_pushed_again(repository, image):
    for seed in range(3):
        repository.delete_manifest("1")
        fresh = repository.push(images.image([100], seed=seed), "1")
        repository.assert_pulls(fresh, "1")


def test_a_deleted_manifest_can_be_pushed_again(repository, image):
    for _ in range(3):
        assert repository.delete_manifest(image.digest).status == 202
        assert repository.put_manifest("1", image.body, image.media_type).status == 201
        repository.assert_pulls(image, "1")
    assert repository.tags().json["tags"] == ["1"]


def test_an_index_without_its_images(repository):
    children = [images.image([100], seed=seed) for seed in range(2)]
    index = repository.push(images.index(children), "multi")
    assert repository.delete_manifest(children[0].digest).status == 202
    assert repository.manifest("multi").body == index.body
    assert repository.manifest(children[0].digest).status == 404
    assert repository.delete_manifest(index.digest).status == 202
    repository.assert_pulls(children[1])


def test_other_repositories_keep_theirs(local, repository, image):
    other = Repository(local, "team/other")
    other.push(image, "1")
    repository.delete_manifest(image.digest)
    for digest in image.blobs:
        assert repository.delete_blob(digest).status == 202
    other.assert_pulls(image, "1")
    assert repository.manifest(image.digest).status == 404


def test_it_survives_a_kill(local, repository, image):
    repository.delete_manifest("1")
    repository.delete_blob(image.layers[0])
    local.kill()
    local.start()
    repository.close()
    assert repository.manifest("1").status == 404
    assert repository.blob(image.layers[0]).status == 404
    assert repository.manifest("latest").status == 200


def test_it_survives_the_index(local, repository, image):
    """What was deleted does not come back from the object store."""
    repository.delete_manifest("1")
    repository.delete_blob(image.layers[0])
    extra = repository.push(images.image([10], seed=9), "extra")
    repository.delete_manifest(extra.digest)
    assert local.stop() == 0
    for path in local.folder.glob("index.db*"):
        path.unlink()
    local.start()
    repository.close()
    assert repository.manifest("latest").status == 200
    for reference in ("1", "extra", extra.digest):
        assert repository.manifest(reference).status == 404, reference
    assert repository.blob(image.layers[0]).status == 404
    assert repository.tags().json["tags"] == ["latest"]


# ---- blobs ------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob(repository, algorithm):
    digest = repository.push_blob(b"content", algorithm)
    response = repository.delete_blob(digest)
    assert (response.status, response.body) == (202, b"")
    assert_fails(repository.blob(digest), 404, "BLOB_UNKNOWN")
    assert repository.blob(digest, "HEAD").status == 404
    assert_fails(repository.delete_blob(digest), 404, "BLOB_UNKNOWN")
    assert repository.push_blob(b"content", algorithm) == digest
    assert repository.blob(digest).body == b"content"


def test_a_blob_that_a_manifest_lists(repository, image):
    """The specification lets one: the manifest is broken then, and says so at a pull."""
    assert repository.delete_blob(image.layers[0]).status == 202
    assert_fails(repository.blob(image.layers[0]), 404, "BLOB_UNKNOWN")
    assert repository.manifest("1").body == image.body
    assert repository.blob(image.layers[1]).status == 200
    repository.push_blob(image.blobs[image.layers[0]])
    repository.assert_pulls(image, "1")


def test_a_blob_is_left_in_the_other_repositories(local):
    content = images.random_bytes(50_000, "shared")
    digest = digest_of(content)
    names = ["team/app", "team/other", "mounted", "mounted/again"]
    repositories = [Repository(local, name) for name in names]
    repositories[0].push_blob(content)
    repositories[1].push_blob(content)
    assert repositories[2].mount(digest, "team/app").status == 201
    assert repositories[3].mount(digest, "mounted").status == 201
    for number, repository in enumerate(repositories):
        assert repository.delete_blob(digest).status == 202
        assert repository.blob(digest).status == 404
        for other in repositories[number + 1:]:
            assert other.blob(digest).body == content, other.name
            assert other.blob(digest, "HEAD").status == 200


def test_a_blob_that_is_being_read(local, repository):
    """A reader that has begun gets it whole."""
    content = images.random_bytes(8 << 20, "read")
    digest = repository.push_blob(content)
    with local.client() as reader:
        reader.request("GET", "/v2/")
        connection = reader._connection  # pylint: disable=protected-access
        connection.request("GET", f"/v2/team/app/blobs/{digest}")
        reply = connection.getresponse()
        start = reply.read(100_000)
        assert repository.delete_blob(digest).status == 202
        assert start + reply.read() == content
    assert repository.blob(digest).status == 404


# ---- cached images ----------------------------------------------------------


def cached(server):
    return Repository(server, f"{NAME}/team/app")


def pulled(server, image):
    assert server.pull("team/app", "1")[0].body == image.body
    server.wait_until(lambda: server.metrics().value("registry_proxy_fills_in_flight") == 0)
    return server


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_cached_image_is_fetched_anew(upstream, serve, by):
    image = upstream.add("team/app", "1", images.image([10_000], seed=1))
    server = pulled(serve(upstream, manifestTTL="1h"), image)
    assert server.manifest("team/app", "1").cache == "hit"
    upstream.forget()
    assert cached(server).delete_manifest("1" if by == "tag" else image.digest).status == 202
    response = server.manifest("team/app", "1")
    assert (response.status, response.body, response.cache) == (200, image.body, "miss")
    assert upstream.count(kind="manifests") > 0
    assert server.manifest("team/app", "1").cache == "hit"


def test_a_cached_image_that_is_gone_upstream(upstream, serve):
    """Deleted here, deleted there: not served from some cache."""
    image = upstream.add("team/app", "1", images.image([10_000], seed=1))
    server = pulled(serve(upstream, manifestTTL="1h"), image)
    assert cached(server).delete_manifest(image.digest).status == 202
    upstream.refuse()
    assert server.manifest("team/app", "1").status in (502, 503, 504)
    assert server.manifest("team/app", image.digest).status in (502, 503, 504)


def test_a_moved_tag_after_a_deletion(upstream, serve):
    upstream.add("team/app", "1", images.image([10_000], seed=1))
    server = serve(upstream, manifestTTL="1h")
    server.pull("team/app", "1")
    newer = upstream.add("team/app", "1", images.image([10_000], seed=2))
    assert cached(server).delete_manifest("1").status == 202
    assert server.pull("team/app", "1")[0].body == newer.body


def test_a_cached_blob_is_not_deleted_by_itself(upstream, serve):
    image = upstream.add("team/app", "1", images.image([10_000], seed=1))
    server = pulled(serve(upstream), image)
    response = cached(server).delete_blob(image.layers[0])
    assert_fails(response, 405, "UNSUPPORTED")
    assert server.blob("team/app", image.layers[0]).cache == "hit"


def test_a_deleted_cached_image_leaves_the_same_blobs_pushed(upstream, serve):
    image = upstream.add("team/app", "1", images.image([10_000], seed=1))
    server = pulled(serve(upstream), image)
    mine = Repository(server, "mine/app")
    mine.push(image, "1")
    assert cached(server).delete_manifest(image.digest).status == 202
    upstream.refuse()
    mine.assert_pulls(image, "1")


def test_nothing_is_deleted_upstream(upstream, serve):
    image = upstream.add("team/app", "1", images.image([10_000], seed=1))
    server = pulled(serve(upstream), image)
    cached(server).delete_manifest(image.digest)
    assert {asked.method for asked in upstream.exchanges} <= {"GET", "HEAD"}
