"""Redis is gone, or hangs: pulls go on, pushes are refused at once, and both are well
within seconds of its coming back."""

import threading
import time

import pytest

from fakes import images
from harness.cluster import hang, outage, within
from harness.load import failures_of, pulling
from harness.promises import Pusher
from harness.push import Repository
from harness.server import start_task

RECOVERY = 5
AWAY = pytest.mark.parametrize("away", [outage, hang], ids=["killed", "hung"])


@pytest.fixture
def pushed(run_cluster, promises):
    """A cluster, and what was pushed to it: [(repository, tag, image)]."""
    cluster = run_cluster()
    pushes = []
    for number in range(6):
        image = images.image([200_000, 3_000], seed=number)
        assert promises.push(Repository(cluster, f"team/app{number}"), image, "1") is None
        pushes.append((f"team/app{number}", "1", image))
    return cluster, pushes


def refusals(repository, image):
    """What each kind of write is answered, and how long that took."""
    content = images.random_bytes(2_000, time.monotonic())
    writes = [lambda: repository.post(),
              lambda: repository.post(content, digest=images.digest_of(content)),
              lambda: repository.put_manifest("2", image.body, image.media_type),
              lambda: repository.mount(next(iter(image.blobs)), "team/app1"),
              lambda: repository.delete_manifest("1")]
    for write in writes:
        begun = time.monotonic()
        yield write(), time.monotonic() - begun


@AWAY
def test_pushes_are_refused_at_once(stores, pushed, away):
    cluster, pushes = pushed
    repositories = [Repository(replica, "team/app0") for replica in cluster.replicas]
    with away(stores.redis):
        seconds = []
        for _ in range(3):
            for repository in repositories:
                for response, took in refusals(repository, pushes[0][2]):
                    assert response.status == 503, response
                    assert int(response.headers["retry-after"]) >= 1
                    assert response.error["code"] == "UNAVAILABLE"
                    seconds.append(took)
        print(sorted(seconds)[-10:])
        assert max(seconds) < 0.5


@AWAY
def test_the_catalog_says_what_is_away(stores, pushed, away):
    cluster, _ = pushed
    with away(stores.redis):
        for replica in cluster.replicas:
            with replica.client() as client:
                response = client.get("/v2/_catalog")
            assert response.status == 503, response
            assert stores.redis.address in response.error["message"], response.error


@AWAY
def test_an_upload_in_progress_is_refused_and_goes_on(stores, pushed, promises, away):
    """Unless Redis forgot it: then it is begun anew."""
    cluster, _ = pushed
    repository = Repository(cluster.replicas[0], "team/big")
    content = images.random_bytes(400_000, 1)
    upload = repository.begin()
    assert upload.patch(content[:100_000], 0).status == 202
    with away(stores.redis):
        begun = time.monotonic()
        response = upload.patch(content[100_000:], 100_000)
        assert response.status == 503 and "retry-after" in response.headers, response
        assert time.monotonic() - begun < 1
    within(RECOVERY, lambda: upload.status().status != 503, "no upload goes on")
    response = upload.status()
    if away is outage and response.status == 404:
        upload, offset = repository.begin(), 0
    else:
        assert response.status == 204, response
        offset = upload.offset
        assert 100_000 <= offset <= 400_000
    if offset < len(content):
        assert upload.patch(content[offset:], offset).status == 202
    assert upload.put(images.digest_of(content)).status == 201
    promises.keep_blob("team/big", images.digest_of(content), content)


@AWAY
def test_pulls_go_on_and_all_is_well_soon_after(stores, pushed, promises, away):
    cluster, pushes = pushed
    for replica in cluster.replicas[1:]:
        replica.restart()       # it has seen nothing of what it is asked for
    over = threading.Event()
    with pulling(cluster.replicas * 2, pushes) as pullers:
        pusher = Pusher(cluster, promises, "push/p")
        task = start_task(lambda: pusher.run(over))
        pusher.server.replicas[0].wait_until(lambda: pusher.pushed > 3)
        with away(stores.redis):
            done = [puller.done for puller in pullers]
            over.wait(3)        # as long as it is away
            assert all(puller.done > before + 3 for puller, before in zip(pullers, done))
            for replica in cluster.replicas:
                assert replica.ready_now(), "pulls work, so it must be asked"
                answer = replica.admin("/readyz").json
                assert answer["status"] == "degraded" and answer["index"] != "ok", answer
        pushed_before = pusher.pushed
        within(RECOVERY, lambda: all(replica.admin("/readyz").json["status"] == "ready"
                                     for replica in cluster.replicas), "not well again")
        # The time that an fsync of MinIO's takes on a busy disk is none of ours.
        within(2 * RECOVERY, lambda: pusher.pushed > pushed_before, "pushes are not taken again")
        over.set()
        task()
    assert failures_of(pullers) == []
    assert all(response.status == 503 and "retry-after" in response.headers
               for _, response in pusher.refused), pusher.refused


def test_replicas_start_without_redis(stores, pushed):
    """A node that restarts in an outage still gets its images."""
    cluster, pushes = pushed
    for replica in cluster.replicas:
        assert replica.stop() == 0
    with outage(stores.redis):
        cluster.start()
        for repository, tag, image in pushes[:2]:
            for replica in cluster.replicas:
                Repository(replica, repository).assert_pulls(image, tag)
    within(RECOVERY, lambda: Repository(cluster, "team/new").post().status == 202, "no push is taken")


def test_cached_images_are_pulled_without_redis(stores, upstream, run_cluster):
    """And those that are not cached yet, by each replica for itself."""
    cached = upstream.add("team/app", "1", images.image([200_000, 3_000]))
    fresh = upstream.add("team/app", "2", images.image([100_000], seed=2))
    cluster = run_cluster(upstream)
    for replica in cluster.replicas:
        replica.pull("team/app", "1")
    with outage(stores.redis):
        for replica in cluster.replicas:
            assert replica.pull("team/app", "1")[0].body == cached.body
            assert replica.pull("team/app", "2")[0].body == fresh.body
