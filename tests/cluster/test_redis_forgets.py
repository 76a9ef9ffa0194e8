"""Redis loses what it had: all of it, or the newest. Nothing acknowledged is lost, and
no tag goes back."""

import time

import pytest

from fakes import images
from harness.cluster import outage, within
from harness.load import failures_of, pulling
from harness.promises import pushing
from harness.push import Repository

FLUSHES = 5


def push_some(cluster, promises, count=5):
    pushes = [(f"team/app{number}", "1", images.image([150_000, 2_000], seed=number))
              for number in range(count)]
    for repository, tag, image in pushes:
        assert promises.push(Repository(cluster, repository), image, tag) is None
    return pushes


def assert_refused_politely(pushers):
    for pusher in pushers:
        assert pusher.broken == 0
        for _, response in pusher.refused:
            assert response.status == 503 and "retry-after" in response.headers, response


def test_flushall_under_load(stores, run_cluster, promises):
    cluster = run_cluster()
    pushes = push_some(cluster, promises)
    with pushing(cluster, promises, pause=0.05) as pushers, pulling(cluster.replicas, pushes) as pullers:
        for _ in range(FLUSHES):
            before = [pusher.pushed for pusher in pushers]
            within(30, lambda before=before: all(pusher.pushed > then + 2
                                                 for pusher, then in zip(pushers, before)),
                   "the pushes came to a halt")
            stores.redis.client("FLUSHALL")
    assert failures_of(pullers) == []
    assert_refused_politely(pushers)


@pytest.mark.parametrize("how", ["empty", "older"])
def test_restarts_under_load(stores, run_cluster, promises, tmp_path, how):
    """Killed while pushes are on, and it comes back with nothing, or with what it knew
    some time ago."""
    cluster = run_cluster()
    pushes = push_some(cluster, promises)
    snapshot = tmp_path / "snapshot.rdb"
    with pushing(cluster, promises, pause=0.05) as pushers, pulling(cluster.replicas, pushes) as pullers:
        for _ in range(3):
            stores.redis.snapshot(snapshot)
            before = [pusher.pushed for pusher in pushers]
            within(30, lambda before=before: all(pusher.pushed > then + 2
                                                 for pusher, then in zip(pushers, before)),
                   "the pushes came to a halt")
            stores.redis.kill()
            if how == "older":
                stores.redis.restore(snapshot)
            stores.redis.start()
            promises.check_tags(cluster.replicas)
    assert failures_of(pullers) == []
    assert_refused_politely(pushers)


@pytest.mark.parametrize("seen", [True, False], ids=["replicas-stay", "replicas-restart"])
def test_an_old_snapshot_brings_no_old_tag_back(stores, run_cluster, promises, tmp_path, seen):
    cluster = run_cluster()
    repository = Repository(cluster, "team/app")
    old, new = images.image([1_000], seed="old"), images.image([1_000], seed="new")
    gone = images.image([2_000], seed="gone")
    for tag, image in (("moved", old), ("deleted", old), ("kept", new), ("gone", gone)):
        assert promises.push(repository, image, tag) is None
    cluster.everywhere(lambda replica: Repository(replica, "team/app").manifest("moved"))
    stores.redis.snapshot(tmp_path / "old.rdb")
    assert promises.push(repository, new, "moved") is None
    assert repository.delete_manifest("deleted").status == 202
    assert repository.delete_manifest(gone.digest).status == 202
    for what in (("team/app", "deleted"), ("team/app", "gone")):
        promises.tags.pop(what)
    promises.manifests.pop(("team/app", gone.digest))
    if not seen:
        for replica in cluster.replicas:
            assert replica.stop() == 0
    stores.redis.kill()
    stores.redis.restore(tmp_path / "old.rdb")
    stores.redis.start()
    if not seen:
        cluster.start()
    end = time.monotonic() + 3      # whatever is refilled meanwhile
    while time.monotonic() < end:
        for replica in cluster.replicas:
            its = Repository(replica, "team/app")
            response = its.manifest("moved")
            assert (response.status, response.digest) == (200, new.digest), response
            for reference in ("deleted", "gone", gone.digest):
                assert its.manifest(reference).status == 404, (replica.folder.name, reference)
            its.close()
    within(5, lambda: sorted(repository.tags().json["tags"]) == ["kept", "moved"],
           lambda: f"the tags are {repository.tags()}")


def test_lists_are_whole_after_a_flush(stores, run_cluster, promises):
    """Tags, the catalog and referrers are lists of the index; an empty one is not
    believed to be complete."""
    cluster = run_cluster()
    repository = Repository(cluster, "team/app")
    image = images.image([5_000], seed="subject")
    for tag in ("a", "b", "c"):
        assert promises.push(repository, image, tag) is None
    signature = images.artifact(image, "application/vnd.test.signature", b"signed" * 50)
    assert promises.push(repository, signature, "signature") is None
    push_some(cluster, promises, 3)

    def lists(replica):
        its = Repository(replica, "team/app")
        tags, referrers = its.tags(), its.referrers(image.digest)
        catalog = its.client.get("/v2/_catalog")
        its.close()
        for response in (tags, referrers, catalog):
            assert response.status in (200, 503), response
        if 503 in (tags.status, referrers.status, catalog.status):
            return None
        return (sorted(tags.json["tags"]), [found["digest"] for found in referrers.json["manifests"]],
                sorted(catalog.json["repositories"]))

    whole = (["a", "b", "c", "signature"], [signature.digest], ["team/app", "team/app0", "team/app1", "team/app2"])
    assert cluster.everywhere(lists) == [whole] * 3
    stores.redis.client("FLUSHALL")
    first = cluster.everywhere(lists)
    assert all(found in (None, whole) for found in first), first
    within(10, lambda: cluster.everywhere(lists) == [whole] * 3, lambda: f"{cluster.everywhere(lists)}")


def test_lists_are_whole_soon_after_an_outage(stores, run_cluster, promises):
    """A rebuild that could not begin while Redis was away is not waited for for a minute."""
    cluster = run_cluster()
    push_some(cluster, promises, 2)
    with outage(stores.redis):
        for replica in cluster.replicas:
            replica.wait_until(lambda replica=replica: "the index cannot be rebuilt now" in replica.stderr())
    within(20, lambda: all(response.status == 200
                           for response in cluster.everywhere(lambda replica: replica.get("/v2/_catalog"))),
           "no catalog")
