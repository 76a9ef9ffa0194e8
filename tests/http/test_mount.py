"""Blobs that other repositories have already."""

import pytest

from fakes import images
from fakes.images import digest_of
from harness.push import Repository, Upload, path_of
from harness.server import NAME, in_parallel

CONTENT = images.random_bytes(100_000, "mount")
DIGEST = digest_of(CONTENT)


@pytest.fixture
def target(local, repository):
    """Without the blob, which team/app has."""
    repository.push_blob(CONTENT)
    return Repository(local, "else/where")


def assert_mounted(response, repository, digest, content):
    assert response.status == 201, response
    assert path_of(response.headers["location"]) == f"/v2/{repository.name}/blobs/{digest}"
    assert response.digest == digest
    assert repository.blob(digest).body == content


def assert_upload_instead(response, repository, content=CONTENT):
    assert response.status == 202, response
    upload = Upload(repository.client, response.headers["location"])
    assert repository.blob(digest_of(content)).status == 404
    assert upload.put(digest_of(content), content).status == 201
    assert repository.blob(digest_of(content)).body == content


def test_from_a_repository(local, target):
    assert_mounted(target.mount(DIGEST, "team/app"), target, DIGEST, CONTENT)
    assert len(local.stored_blobs()) == 1


def test_from_anywhere(target):
    assert_mounted(target.mount(DIGEST), target, DIGEST, CONTENT)


def test_sha512(local, repository):
    digest = repository.push_blob(CONTENT, "sha512")
    target = Repository(local, "else/where")
    assert_mounted(target.mount(digest, "team/app"), target, digest, CONTENT)


def test_from_itself_and_twice(repository, target):
    assert repository.mount(DIGEST, "team/app").status == 201
    for _ in range(2):
        assert_mounted(target.mount(DIGEST, "team/app"), target, DIGEST, CONTENT)


@pytest.mark.parametrize("source", ["no/where", "team/other", "team", "team/app/sub"])
def test_from_where_it_is_not(target, source):
    assert_upload_instead(target.mount(DIGEST, source), target)


def test_what_is_nowhere(target):
    other = images.random_bytes(1000, "other")
    assert_upload_instead(target.mount(digest_of(other), "team/app"), target, other)
    assert target.mount(digest_of(b"x"), None).status == 202


def test_an_upload_that_is_not_finished_is_no_source(local, target):
    content = images.random_bytes(1000, "unfinished")
    Repository(local, "team/app").begin().patch(content)
    assert_upload_instead(target.mount(digest_of(content)), target, content)


def test_a_deleted_blob_is_no_source(repository, target):
    assert repository.delete_blob(DIGEST).status == 202
    assert_upload_instead(target.mount(DIGEST, "team/app"), target)


def test_a_deleted_blob_is_no_source_for_anybody(repository, target):
    assert repository.delete_blob(DIGEST).status == 202
    assert_upload_instead(target.mount(DIGEST), target)


@pytest.mark.parametrize("digest", ["", "x", "sha256:zz", "sha256:" + "A" * 64, "md5:" + "0" * 32])
def test_what_is_no_digest(target, digest):
    response = target.mount(digest, "team/app")
    assert response.status in (202, 400), response
    if response.status == 400:
        assert response.error["code"] == "DIGEST_INVALID"


@pytest.mark.parametrize("source", ["Team/App", "../etc", "team//app", "-", "a" * 300])
def test_a_source_that_is_no_name(target, source):
    response = target.mount(DIGEST, source)
    assert response.status in (202, 400), response
    assert target.blob(DIGEST).status == 404


def test_a_source_that_is_not_named(target):
    """from= with nothing."""
    response = target.mount(DIGEST, "")
    assert response.status in (201, 202, 400), response


def test_a_manifest_is_no_blob_of_its_own(local, repository):
    """But its digest may be asked for: then it is absent, or its bytes."""
    image = repository.push(images.image([10], seed=1), "1")
    target = Repository(local, "else/where")
    if target.mount(image.digest, "team/app").status == 201:
        assert target.blob(image.digest).body == image.body


def test_mounts_survive_a_kill_and_the_index(local, target):
    target.mount(DIGEST, "team/app")
    local.kill()
    local.start()
    target.close()
    assert target.blob(DIGEST).body == CONTENT
    assert local.stop() == 0
    for path in local.folder.glob("index.db*"):
        path.unlink()
    local.start()
    target.close()
    assert target.blob(DIGEST).body == CONTENT


def test_mounted_while_it_is_deleted(local, repository):
    """Mounted, and then it is there; or not, and then the client uploads."""
    for number in range(20):
        content = images.random_bytes(2000, f"race/{number}")
        digest = repository.push_blob(content)
        target = Repository(local, f"race/r{number}")
        deleted, mounted = in_parallel([
            lambda digest=digest: repository.delete_blob(digest),
            lambda digest=digest, target=target: target.mount(digest, "team/app")])
        assert deleted.status == 202
        assert mounted.status in (201, 202)
        if mounted.status == 201:
            assert target.blob(digest).body == content
        target.close()


# ---- from what is cached ----------------------------------------------------


@pytest.fixture
def caching(upstream, image, serve):
    server = serve(upstream)
    server.pull("team/app", "1")
    server.wait_until(lambda: server.metrics().value("registry_proxy_fills_in_flight") == 0)
    return server


def test_from_a_cached_repository(upstream, image, caching):
    """Copying an image from an upstream into a repository of one's own."""
    upstream.refuse()
    target = Repository(caching, "mine/app")
    for digest, content in image.blobs.items():
        assert_mounted(target.mount(digest, f"{NAME}/team/app"), target, digest, content)
    assert target.put_manifest("1", image.body, image.media_type).status == 201
    target.assert_pulls(image, "1")


def test_what_is_cached_is_not_for_those_who_do_not_say_where(image, caching):
    """Whoever may not read an upstream's repository learns nothing from mounts."""
    target = Repository(caching, "mine/app")
    assert target.mount(image.layers[0]).status == 202
    assert target.mount(image.layers[0], f"{NAME}/team/other").status == 202
    assert target.mount(image.layers[0], "team/app").status == 202
    assert target.blob(image.layers[0]).status == 404


def test_nobody_mounts_into_an_upstream(image, caching):
    response = Repository(caching, f"{NAME}/team/app").mount(image.layers[0], f"{NAME}/team/app")
    assert (response.status, response.error["code"]) == (403, "DENIED")
