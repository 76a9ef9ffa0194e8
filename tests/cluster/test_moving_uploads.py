"""An upload whose every request reaches another replica."""

import pytest

from fakes import images
from fakes.images import digest_of
from harness.push import Repository

SIZE = 300_000


@pytest.mark.parametrize("total", [1_000_000, 40_000_000], ids=["small", "multipart"])
def test_chunks_go_to_all_replicas(run_cluster, promises, total):
    cluster = run_cluster()
    content = images.random_bytes(total, total)
    repository = Repository(cluster, "team/app")
    assert repository.push_chunked(content, max(SIZE, total // 8)) == digest_of(content)
    promises.keep_blob("team/app", digest_of(content), content)


def test_a_stream_is_ended_by_another_replica(run_cluster):
    """PATCH without Content-Range here, status and PUT there."""
    cluster = run_cluster()
    first, second, third = (Repository(replica, "team/app") for replica in cluster.replicas)
    content = images.random_bytes(2_000_000, 1)
    upload = first.begin()
    assert upload.patch(content[:700_000]).status == 202
    upload.client = second.client
    assert upload.offset == 700_000
    assert upload.patch(content[700_000:1_500_000]).status == 202
    upload.client = third.client
    assert upload.put(digest_of(content), content[1_500_000:]).status == 201
    for repository in (first, second, third):
        assert repository.blob(digest_of(content)).body == content


def test_the_offset_is_known_everywhere(run_cluster):
    cluster = run_cluster()
    first, second, third = (Repository(replica, "team/app") for replica in cluster.replicas)
    upload = first.begin()
    assert upload.patch(b"x" * 1000, 0).status == 202
    upload.client = second.client
    response = upload.patch(b"y" * 1000, 500)      # not where it ends
    assert response.status == 416, response
    upload.client = third.client
    assert upload.offset == 1000
    assert upload.cancel().status == 204
    upload.client = first.client
    assert upload.status().status == 404


def test_a_replica_dies_between_two_chunks(run_cluster):
    cluster = run_cluster()
    content = images.random_bytes(3_000_000, 2)
    upload = Repository(cluster.replicas[0], "team/app").begin()
    assert upload.patch(content[:1_000_000], 0).status == 202
    cluster.replicas[0].kill()
    other = Repository(cluster.replicas[1], "team/app")
    upload.client = other.client
    assert upload.offset == 1_000_000
    assert upload.patch(content[1_000_000:], 1_000_000).status == 202
    assert upload.put(digest_of(content)).status == 201
    cluster.replicas[0].start()
    assert Repository(cluster.replicas[0], "team/app").blob(digest_of(content)).body == content
