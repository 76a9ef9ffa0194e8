"""Somebody took bytes out of the bucket, as an expiry rule or half a restore does: what is
left of a blob must not stand in the way of its being pushed or fetched anew."""

import subprocess

import pytest

from fakes import images
from harness.cluster import BUCKET
from harness.push import Repository
from harness.server import BINARY

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
    cluster = run_cluster(size=2, s3={"partSize": "5MiB"})
    image = images.image(LARGE)
    repository = Repository(cluster.replicas[0], "team/app")
    repository.push_chunked(image.blobs[image.layers[0]], LARGE[0])    # the digest comes last
    repository.push(image, "1")
    lose_parts(cluster)
    forget(cluster)
    return cluster, repository, image


def scrub(replica, *options):
    return subprocess.run([BINARY, "scrub", *options, "-c", replica.config_file], cwd=replica.folder,
                          capture_output=True, text=True, timeout=60, check=False)


def assert_heals(cluster, repository, image):
    """As clients push: what is said to be there is not sent."""
    cluster.replicas[0].wait_until(lambda: repository.blob(image.layers[0], "HEAD").status == 404)
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
    replica = cluster.replicas[0]
    found = scrub(replica)
    assert found.returncode == 1 and "its bytes are gone from" in found.stdout, found
    assert scrub(replica, "--quarantine").returncode == 1
    assert "link without its bytes" in scrub(replica).stdout
    assert_heals(cluster, repository, image)
