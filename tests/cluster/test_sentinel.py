"""The master dies, and the sentinels promote another one."""

import pytest

from fakes import images
from harness.backends import SentinelGroup
from harness.cluster import within
from harness.load import failures_of, pulling
from harness.promises import pushing
from harness.push import Repository


@pytest.fixture
def group(tmp_path):
    with SentinelGroup(tmp_path / "sentinels") as sentinels:
        yield sentinels


def test_failover_under_load(group, run_cluster, promises):
    cluster = run_cluster(redis={"address": None, "database": 0, "master": group.service,
                                 "sentinels": group.addresses})
    image = images.image([100_000, 2_000])
    assert promises.push(Repository(cluster, "team/app"), image, "1") is None
    with pushing(cluster, promises, pause=0.05) as pushers, \
            pulling(cluster.replicas, [("team/app", "1", image)]) as pullers:
        within(20, lambda: all(pusher.pushed > 3 for pusher in pushers), "nothing is pushed")
        group.fail_over()
        before = [pusher.pushed for pusher in pushers]
        within(10, lambda: all(pusher.pushed > then + 3 for pusher, then in zip(pushers, before)),
               "pushes are not taken after the failover")
    assert failures_of(pullers) == []
    for pusher in pushers:
        assert all(response.status == 503 and "retry-after" in response.headers
                   for _, response in pusher.refused), pusher.refused


def test_a_promoted_replica_that_lagged(group, run_cluster, promises):
    """What the old master alone knew is read from the bucket."""
    cluster = run_cluster(redis={"address": None, "database": 0, "master": group.service,
                                 "sentinels": group.addresses})
    repository = Repository(cluster, "team/app")
    old, new = images.image([1_000], seed="old"), images.image([1_000], seed="new")
    assert promises.push(repository, old, "1") is None
    # It cannot get back to its master, which has no password, and knows nothing of this:
    group.replica.client("CONFIG", "SET", "masterauth", "wrong")
    group.replica.client("CLIENT", "KILL", "TYPE", "master")
    assert promises.push(repository, new, "1") is None
    group.master.kill()
    within(60, lambda: group.replica.role == "master", "no sentinel promoted the replica")
    within(15, lambda: Repository(cluster, "team/new").post().status == 202, "no push is taken")
    for replica in cluster.replicas:
        response = Repository(replica, "team/app").manifest("1")
        assert (response.status, response.digest) == (200, new.digest), response
