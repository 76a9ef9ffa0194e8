"""What was deleted at one replica is gone at the others, at once, whatever they have
cached."""

import pytest

from fakes import images
from harness.push import Repository


@pytest.fixture
def everywhere(run_cluster):
    """team/app:1 at three replicas that have all served it."""
    cluster = run_cluster()
    image = images.image([200_000, 3_000])
    repositories = [Repository(replica, "team/app") for replica in cluster.replicas]
    repositories[0].push(image, "1")
    for repository in repositories:
        for _ in range(3):
            repository.assert_pulls(image, "1")
    return cluster, image, repositories


def test_a_tag(everywhere):
    _, image, (first, *others) = everywhere
    assert first.delete_manifest("1").status == 202
    for repository in (*others, first):
        assert repository.manifest("1").status == 404
        assert repository.tags().json["tags"] == []
        assert repository.manifest(image.digest).status == 200


def test_a_manifest(everywhere):
    _, image, (first, *others) = everywhere
    assert first.delete_manifest(image.digest).status == 202
    for repository in (*others, first):
        assert repository.manifest(image.digest).status == 404
        assert repository.manifest("1").status == 404


def test_a_blob(everywhere):
    _, image, (first, *others) = everywhere
    layer = image.layers[0]
    assert first.delete_manifest(image.digest).status == 202
    assert first.delete_blob(layer).status == 202
    for repository in (*others, first):
        assert repository.blob(layer).status == 404
        assert repository.blob(image.layers[1]).status == 200


def test_a_moved_tag_is_seen_by_all(everywhere):
    """No replica says what the tag was before: not once."""
    _, _, repositories = everywhere
    for number in range(30):
        image = images.image([500], seed=f"move/{number}")
        repositories[number % 3].push(image, "1")
        for repository in repositories:
            assert repository.manifest("1").digest == image.digest, number


def test_deletes_and_pushes_in_turn(everywhere):
    _, image, repositories = everywhere
    for number in range(15):
        here, there, third = (repositories[(number + more) % 3] for more in range(3))
        assert here.delete_manifest("1").status == 202
        assert there.manifest("1").status == 404
        assert third.manifest("1").status == 404
        assert third.put_manifest("1", image.body, image.media_type).status == 201
        assert here.manifest("1").digest == image.digest


def test_a_cached_image(upstream, run_cluster):
    """The next pull fetches it anew, whichever replica is asked."""
    image = upstream.add("team/app", "1", images.image([50_000]))
    cluster = run_cluster(upstream)
    for replica in cluster.replicas:
        replica.pull("team/app", "1")
    first, second, third = cluster.replicas
    assert first.manifest("team/app", image.digest, method="DELETE").status == 202
    upstream.forget()
    assert second.manifest("team/app", "1").cache == "miss"
    assert third.manifest("team/app", "1").cache == "hit"
    assert upstream.count("GET", "manifests") == 1
