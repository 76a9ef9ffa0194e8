"""The object store is gone, or hangs: what the hot caches hold is served, the rest is
503, and no upstream is asked for what could not be kept."""

import contextlib
import os
import time

import pytest

from fakes import images
from harness.cluster import hang, outage, within
from harness.load import failures_of, pulling
from harness.promises import Pusher
from harness.push import Repository
from harness.server import in_parallel, start_task

SECONDS = 60 if os.environ.get("CLUSTER_SOAK") else 8
RECOVERY = 5


@pytest.fixture
def warm(upstream, run_cluster, promises):
    """Each replica has served hot/app and team/app:1, none has served cold/app, and
    team/app:3 was never pulled by anybody."""
    cluster = run_cluster(upstream, settings={"prefetchLayers": False, "manifestTTL": "1h"})
    hot, cold = images.image([300_000, 4_000], seed="hot"), images.image([300_000], seed="cold")
    upstream.add("team/app", "1", images.image([200_000, 3_000]))
    upstream.add("team/app", "3", images.image([150_000], seed=3))
    assert promises.push(Repository(cluster, "hot/app"), hot, "1") is None
    assert promises.push(Repository(cluster, "cold/app"), cold, "1") is None
    for replica in cluster.replicas:
        for _ in range(3):
            Repository(replica, "hot/app").assert_pulls(hot, "1")
            replica.pull("team/app", "1")
        replica.wait_until(lambda replica=replica: len(replica.hot_files) >= 6)
        replica.manifest("team/app", "3")
    return cluster, hot, cold


def assert_degraded(cluster):
    """Every replica sees the same outage; were all unready, nobody would be asked."""
    for replica in cluster.replicas:
        within(15, lambda replica=replica: replica.admin("/readyz").json["objects"] != "ok",
               "/readyz does not say that the objects are away")
        assert replica.ready_now()
        assert replica.admin("/readyz").json["status"] == "degraded"


def assert_refused(response):
    assert response.status == 503, response
    assert "retry-after" in response.headers
    assert response.error["code"] == "UNAVAILABLE"


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("away", [outage, hang], ids=["killed", "hung"])
def test_an_outage(stores, upstream, warm, promises, away):
    cluster, hot, cold = warm
    fresh = upstream.repository("team/app").manifests[upstream.repository("team/app").tags["3"]]
    begun = time.monotonic()
    with pulling(cluster.replicas, [("hot/app", "1", hot)]) as pullers:
        with away(stores.minio):
            for replica in cluster.replicas:
                for digest in cold.blobs:
                    assert_refused(Repository(replica, "cold/app").blob(digest))
                assert_refused(replica.blob("team/app", fresh.layers[0]))
                response = Repository(replica, "new/app").post(b"x", digest=images.digest_of(b"x"))
                assert_refused(response)
                assert replica.pull("team/app", "1")[0].status == 200
            assert_degraded(cluster)
            while time.monotonic() < begun + SECONDS:
                done = sum(puller.done for puller in pullers)
                within(10, lambda done=done: sum(puller.done for puller in pullers) > done + 20,
                       "hot content is not served any more")
        assert upstream.count("GET", "blobs", fresh.layers[0]) == 0
        recovered = within(RECOVERY, lambda: all(replica.admin("/readyz").json["status"] == "ready"
                                                 for replica in cluster.replicas), "not well again")
        pusher = Pusher(cluster, promises, "push/p")
        recovered += within(RECOVERY - recovered, pusher.push_once, "no push is taken")
        print(f"well after {recovered:.1f} s")
        for replica in cluster.replicas:
            Repository(replica, "cold/app").assert_pulls(cold, "1")
            replica.pull("team/app", "3")
    assert failures_of(pullers) == []
    assert upstream.count("GET", "blobs", fresh.layers[0]) == 1


def test_a_hung_store_costs_a_deadline_and_no_worker(stores, warm):
    """Many ask for what is not hot; who asks for what is hot notices nothing. When the
    store has been found out nobody waits for it any more."""
    cluster, hot, cold = warm
    replica = cluster.replicas[0]
    layer = cold.layers[0]

    def ask():
        begun = time.monotonic()
        with contextlib.closing(Repository(replica, "cold/app")) as repository:
            assert_refused(repository.blob(layer))
        return time.monotonic() - begun

    with hang(stores.minio):
        asked = start_task(lambda: in_parallel([ask] * 40))
        slowest = 0
        while asked.running():
            before = time.monotonic()
            with contextlib.closing(Repository(replica, "hot/app")) as repository:
                repository.assert_pulls(hot, "1")
            slowest = max(slowest, time.monotonic() - before)
        seconds = asked()
        print(f"refused after {max(seconds):.1f} s, hot content within {slowest:.2f} s")
        assert slowest < 3
        assert max(seconds) < 15
        within(30, lambda: ask() < 0.5, "every request waits for a store that hangs")
        assert max(in_parallel([ask] * 20)) < 1
    within(RECOVERY, lambda: Repository(replica, "cold/app").blob(layer).status == 200, "not well again")


def test_both_are_away(stores, warm, promises):
    cluster, hot, cold = warm
    with outage(stores.redis), outage(stores.minio):
        for replica in cluster.replicas:
            assert_refused(Repository(replica, "cold/app").blob(cold.layers[0]))
            assert_refused(Repository(replica, "new/app").post())
            within(15, lambda replica=replica: not replica.ready_now(), "it can answer next to nothing")
        assert all(replica.admin("/livez").status == 200 for replica in cluster.replicas), \
            "to restart it would not help"
    within(RECOVERY, lambda: all(replica.admin("/readyz").json["status"] == "ready"
                                 for replica in cluster.replicas), "not well again")
    assert Pusher(cluster, promises, "push/p").push_once()
    for replica in cluster.replicas:
        Repository(replica, "hot/app").assert_pulls(hot, "1")
        Repository(replica, "cold/app").assert_pulls(cold, "1")


@pytest.mark.parametrize("name", [None, "no-such-bucket"], ids=["wrong-key", "no-bucket"])
def test_a_bucket_that_cannot_be_used_is_an_error_at_start(run_cluster, name):
    wrong = {"bucket": name} if name else {"secretKey": "not-the-one"}
    replica = run_cluster(size=1, running=False, s3=wrong).replicas[0]
    with pytest.raises(AssertionError, match="it ended with 1"):
        replica.start()
    replica.process = None
    said = [line["err.message"] for line in replica.log_lines() if line["msg"] == "cannot start"]
    assert len(said) == 1
    assert (name or "SignatureDoesNotMatch") in said[0], said
