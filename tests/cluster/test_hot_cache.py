"""The disk in front of the object store: worth having, never needed, safe to delete."""

import shutil
import subprocess

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


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_bypassed(small_disk, upstream, run_cluster, promises):
    """It holds less than the configuration says. Pulls of what is stored, of what is
    not, of what is larger than the disk, and pushes: all go on."""
    cluster = run_cluster(upstream, running=False, size=1,
                          config={"storage": {"hotCache": {"directory": str(small_disk)}}})
    replica = cluster.replicas[0].start()
    repository = Repository(replica, "team/app")
    pushed = [images.image([700_000], seed=number) for number in range(5)]
    for number, image in enumerate(pushed):
        assert promises.push(repository, image, str(number)) is None
    for number in range(5):
        upstream.add("up/app", str(number), images.image([900_000], seed=f"up/{number}"))
    large = upstream.add("up/app", "large", images.image([6_000_000], seed="large"))
    for _ in range(3):
        for number, image in enumerate(pushed):
            repository.assert_pulls(image, str(number))
        for number in range(5):
            replica.pull("up/app", str(number))
        assert replica.pull("up/app", "large")[0].body == large.body
    (small_disk / "full").write_bytes(b"x" * shutil.disk_usage(small_disk).free)
    for number, image in enumerate(pushed):
        repository.assert_pulls(image, str(number))
    late = upstream.add("up/app", "late", images.image([300_000], seed="late"))
    assert replica.pull("up/app", "late")[0].body == late.body
    more = images.image([3_000_000, 400_000], seed="more")
    assert promises.push(repository, more, "more") is None
    for digest in large.blobs:
        assert upstream.count("GET", "blobs", digest) == 1


def test_a_read_of_the_store_that_breaks_goes_on(watched, promises):
    """Its client notices nothing."""
    cluster, proxy = watched
    image = images.image([9_000_000])
    assert promises.push(Repository(cluster, "team/app"), image, "1") is None
    proxy.fail("truncate", method="GET", match="/(blobs|data)/", times=2)
    for replica in cluster.replicas:
        Repository(replica, "team/app").assert_pulls(image, "1")
