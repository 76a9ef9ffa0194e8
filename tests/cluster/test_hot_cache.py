"""The disk in front of the object store: worth having, never needed, safe to delete."""

import shutil

import pytest

from fakes import images
from harness.push import Repository


@pytest.fixture
def watched(stores, run_cluster, proxy_of):
    """A cluster whose requests to the store are counted."""
    proxy = proxy_of(stores.minio)
    return run_cluster(s3={"endpoint": proxy.endpoint}), proxy


def reads(proxy, digest):
    """Of its bytes."""
    value = digest.partition(":")[2]
    return proxy.count("GET", f"/blobs/sha256/{value[:2]}/{value}") + proxy.count("GET", "/data/")


def test_the_store_is_read_once_by_each_replica(watched, promises):
    cluster, proxy = watched
    image = images.image([400_000])
    layer = image.layers[0]
    assert promises.push(Repository(cluster, "team/app"), image, "1") is None
    repositories = [Repository(replica, "team/app") for replica in cluster.replicas]
    for repository in repositories:
        assert repository.blob(layer).body == image.blobs[layer]
    cluster.replicas[0].wait_until(lambda: all(replica.hot_files for replica in cluster.replicas))
    proxy.forget()
    for repository in repositories:
        for _ in range(5):
            assert repository.blob(layer).body == image.blobs[layer]
    # A range and HEAD are answered from it, too.
    part = repositories[0].blob(layer, Range="bytes=1000-1999")
    assert (part.status, part.body) == (206, image.blobs[layer][1000:2000])
    assert repositories[0].blob(layer, "HEAD").status == 200
    assert reads(proxy, layer) == 0


@pytest.mark.parametrize("how", ["deleted", "emptied", "truncated", "in-the-way"])
def test_its_files_may_be_lost_while_it_runs(watched, promises, how):
    cluster, _ = watched
    image = images.image([400_000, 5_000])
    replica = cluster.replicas[0]
    assert promises.push(Repository(cluster, "team/app"), image, "1") is None
    repository = Repository(replica, "team/app")
    for _ in range(3):
        repository.assert_pulls(image, "1")
    assert replica.hot_files
    if how in ("deleted", "in-the-way"):
        shutil.rmtree(replica.folder / "hot")
    if how == "in-the-way":
        (replica.folder / "hot").write_text("a disk that can neither be read nor written")
    for path in replica.hot_files:
        if how == "emptied":
            path.unlink()
        elif how == "truncated":
            path.write_bytes(path.read_bytes()[:-1])
    for _ in range(3):
        repository.assert_pulls(image, "1")


def test_it_stays_below_its_limit(stores, run_cluster):
    cluster = run_cluster(size=1, config={"storage": {"hotCache": {"maxSize": "1MiB"}}})
    replica, = cluster.replicas
    repository = Repository(replica, "team/app")
    layers = [images.random_bytes(200_000, number) for number in range(12)]
    digests = [repository.push_blob(layer) for layer in layers]
    for _ in range(3):
        for digest, layer in zip(digests, layers):
            assert repository.blob(digest).body == layer
    assert sum(path.stat().st_size for path in replica.hot_files) <= 1 << 20


def test_without_one(run_cluster, upstream, promises):
    image = upstream.add("team/app", "1", images.image([300_000, 2_000]))
    cluster = run_cluster(upstream, config={"storage": {"hotCache": {"maxSize": "0"}}})
    for replica in cluster.replicas:
        replica.pull("team/app", "1")
        assert replica.hot_files == []
    for digest in image.blobs:
        assert upstream.count("GET", "blobs", digest) == 1
