"""storage.s3.redirect: clients are sent to the object store for what is not hot."""

import http.client
import subprocess
import urllib.parse

import pytest

from fakes import images
from harness.client import digest_matches
from harness.push import Repository
from harness.tools import tool


@pytest.fixture
def cluster(run_cluster):
    return run_cluster(s3={"redirect": True}, config={"storage": {"hotCache": {"maxSize": "0"}}})


def follow(location, **headers):
    place = urllib.parse.urlsplit(location)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    connection.request("GET", f"{place.path}?{place.query}", headers=headers)
    reply = connection.getresponse()
    return reply.status, reply.read()


@pytest.mark.parametrize("size", [50_000, 20_000_000], ids=["one-request", "multipart"])
def test_the_location_has_the_bytes(cluster, stores, promises, size):
    content = images.random_bytes(size, size)
    repository = Repository(cluster.replicas[0], "team/app")
    digest = repository.push_blob(content)
    for replica in cluster.replicas:
        response = Repository(replica, "team/app").blob(digest)
        assert response.status == 307, response
        location = response.headers["location"]
        assert location.startswith(stores.minio.endpoint)
        assert response.digest == digest
        status, body = follow(location)
        assert status == 200 and digest_matches(digest, body)
        status, body = follow(location, Range="bytes=100-199")
        assert (status, body) == (206, content[100:200])


def test_what_lies_in_pieces_is_served_here(cluster):
    """A URL opens one object, and what was pushed in chunks is several."""
    content = images.random_bytes(20_000_000, 1)
    digest = Repository(cluster, "team/app").push_chunked(content, 6_000_000)
    for replica in cluster.replicas:
        response = Repository(replica, "team/app").blob(digest)
        assert (response.status, response.body) == (200, content)


def test_head_is_answered_here(cluster):
    content = images.random_bytes(50_000, 1)
    repository = Repository(cluster.replicas[0], "team/app")
    response = repository.blob(repository.push_blob(content), "HEAD")
    assert (response.status, response.headers["content-length"]) == (200, "50000")


def test_the_url_opens_one_object_only(cluster, stores):
    repository = Repository(cluster.replicas[0], "team/app")
    digests = [repository.push_blob(images.random_bytes(1_000, number)) for number in range(2)]
    first, second = (repository.blob(digest).headers["location"] for digest in digests)
    changed = urllib.parse.urlsplit(second).path + "?" + urllib.parse.urlsplit(first).query
    assert follow(stores.minio.endpoint + changed)[0] == 403
    assert follow(first.partition("?")[0])[0] == 403
    assert stores.minio.secret_key not in first


def test_what_is_absent_is_not_redirected(cluster):
    repository = Repository(cluster.replicas[0], "team/app")
    hidden = Repository(cluster.replicas[0], "team/other").push_blob(b"somebody else's")
    assert repository.blob(images.digest_of(b"nothing")).status == 404
    assert repository.blob(hidden).status == 404


def test_a_real_client_follows(cluster, upstream, tmp_path):
    """crane checks every layer's digest and size."""
    image = images.runnable({"bin/hello": b"hello" * 1000}, ["/bin/hello"])
    Repository(cluster.replicas[0], "team/app").push(image, "1")
    for replica in cluster.replicas:
        name = f"127.0.0.1:{replica.port}/team/app:1"
        done = subprocess.run([tool("crane"), "validate", "--remote", name], capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        done = subprocess.run([tool("crane"), "export", name, tmp_path / "files.tar"],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert b"hellohello" in (tmp_path / "files.tar").read_bytes()


def test_hot_content_is_served_here(run_cluster):
    cluster = run_cluster(size=1, s3={"redirect": True})
    repository = Repository(cluster.replicas[0], "team/app")
    content = images.random_bytes(50_000, 1)
    digest = repository.push_blob(content)
    statuses = [repository.blob(digest).status for _ in range(3)]
    assert set(statuses) <= {200, 307}, statuses
