"""Somebody took bytes out of the bucket, as an expiry rule or half a restore does: what is
left of a blob must not stand in the way of its being pushed or fetched anew."""

import pytest

from fakes import images
from harness.cluster import BUCKET
from harness.push import Repository

LARGE = [6_000_000]    # in parts, behind a record


def lose_parts(cluster):
    lost = [key for key, size in cluster.stored("data/").items() if size > 1_000_000]
    assert lost
    for key in lost:
        cluster.stores.minio.client.delete(BUCKET, cluster.prefix + key)


def forget(cluster):
    """What is in hot caches would hide it."""
    for replica in cluster.replicas:
        for file in replica.hot_files:
            file.unlink()


@pytest.fixture
def damaged(run_cluster):
    """A cluster with a pushed image, whose layer has no bytes any more."""
    cluster = run_cluster(size=2)
    image = images.image(LARGE)
    repository = Repository(cluster.replicas[0], "team/app")
    repository.push(image, "1")
    lose_parts(cluster)
    forget(cluster)
    return cluster, repository, image


def assert_heals(cluster, repository, image):
    """As clients push: what is said to be there is not sent."""
    assert repository.blob(image.layers[0], "HEAD").status == 404
    repository.push(image, "1")
    for replica in cluster.replicas:
        Repository(replica, "team/app").assert_pulls(image, "1")


def test_a_pull_finds_it_out(damaged):
    cluster, repository, image = damaged
    assert repository.blob(image.layers[0]).status >= 500
    assert_heals(cluster, repository, image)
    told = [line["removed"] for line in cluster.replicas[0].log_lines()
            if line["msg"] == "stored blob is damaged"]
    assert told == [True]


def test_scrub_finds_it_out(damaged):
    cluster, repository, image = damaged
    config = cluster.replicas[0].config_file
    found = command("scrub", "-c", config)
    assert found.returncode == 1 and "its bytes are gone from" in found.stdout, found
    assert command("scrub", "--quarantine", "-c", config).returncode == 1
    assert command("scrub", "-c", config).returncode == 0
    assert_heals(cluster, repository, image)


def test_a_cached_blob_is_fetched_anew(run_cluster, upstream):
    image = upstream.add("team/app", "1", images.image(LARGE))
    cluster = run_cluster(upstream, size=2)
    first, second = cluster.replicas
    first.pull("team/app", "1")
    first.wait_until(lambda: cluster.stored("blobs/") and len(cluster.stored("blobs/")) >= 3)
    lose_parts(cluster)
    forget(cluster)
    second.blob("team/app", image.layers[0])
    assert second.pull("team/app", "1")[0].body == image.body
