"""A proxy that misbehaves in front of the stores, while images are pushed and pulled:
what is acknowledged is there afterwards, and no client is given wrong bytes.

For some seconds each; CLUSTER_SOAK=1 for a minute.
"""

import contextlib
import os
import time

import pytest

from fakes import images
from harness.cluster import BUCKET, within
from harness.load import pulling
from harness.promises import Pusher, pushing
from harness.push import Repository
from harness.server import NAME

SECONDS = 60 if os.environ.get("CLUSTER_SOAK") else 5
RATE = 0.05

S3_FAULTS = {
    "latency": [("latency", {"seconds": 0.15})],
    "errors": [("status", {"status": 500, "rate": RATE})],
    "slow-down": [("status", {"status": 503, "code": "SlowDown", "rate": RATE})],
    "truncated": [("truncate", {"method": "GET", "rate": RATE})],
    "resets": [("reset", {"rate": RATE}), ("reset-after", {"rate": RATE})],
    "swallowed": [("swallow", {"method": "POST", "match": "uploadId=", "rate": 0.5})],
    "errors-that-say-200": [("error-200", {"method": "POST", "match": "uploadId=", "rate": 0.5})],
    "all-at-once": [("latency", {"seconds": 0.3, "rate": 0.1}), ("status", {"rate": 0.02}),
                    ("status", {"status": 503, "code": "SlowDown", "rate": 0.02}),
                    ("truncate", {"method": "GET", "rate": 0.02}), ("reset", {"rate": 0.02}),
                    ("reset-after", {"rate": 0.02})],
}
# Of the pieces that pass; one that does not come stops all pushes for a moment.
REDIS_FAULTS = {
    "latency": [("latency", {"seconds": 0.02})],
    "slow-now-and-then": [("latency", {"seconds": 1.0, "rate": 0.003})],
    "resets": [("reset", {"rate": 0.003})],
    "hangs": [("hang", {"rate": 0.002})],
}
# Small parts, so that images have uploads of several of them.
PARTS = {"partSize": "5MiB"}
LAYERS = ((12_000_000,), (30_000,), (2_000, 150_000), (0, 1_000), (500_000,), (40_000,))

SMALL = LAYERS[1:]
LARGE = ((6_000_000,), (12_000_000, 1_000))


def lay(proxy, faults):
    for kind, more in faults:
        proxy.fail(kind, **more)


def work_beside(cluster, upstream, promises, proxy, faults, layers=LAYERS):
    """Some of everything for a while. The pushers and the pullers."""
    pushes, cached = [], []
    for number in range(4):
        image = images.image([150_000, 2_000], seed=number)
        assert promises.push(Repository(cluster, f"team/app{number}"), image, "1") is None
        pushes.append((f"team/app{number}", "1", image))
    for number in range(40):
        image = images.image([100_000, 2_000], seed=f"cached/{number}")
        cached.append(("team/app", str(number), upstream.add("team/app", str(number), image)))
    lay(proxy, faults)
    end = time.monotonic() + SECONDS
    with pushing(cluster, promises, layers=layers) as pushers, \
            pulling(cluster.replicas, pushes) as pullers, \
            pulling(cluster.replicas, cached, NAME) as others:
        within(SECONDS + 30, lambda: time.monotonic() > end and proxy.faults_done() > 0
               and any(pusher.pushed for pusher in pushers),
               lambda: f"nothing is pushed: {[pusher.refused[-3:] for pusher in pushers]}")
    print(f"{sum(pusher.pushed for pusher in pushers)} pushed,"
          f" {sum(len(pusher.refused) for pusher in pushers)} refused,"
          f" {sum(puller.done for puller in pullers + others)} pulled,"
          f" {sum(len(puller.failures) for puller in pullers + others)} not,"
          f" {proxy.faults_done()} faults")
    return pushers, pullers + others


def assert_well_again(cluster, upstream, promises, proxy):
    """No restart is needed."""
    proxy.heal()
    pusher = Pusher(cluster, promises, "push/after")
    within(5, lambda: pusher.push_once() and all(
        replica.admin("/readyz").json["status"] == "ready" for replica in cluster.replicas),
        lambda: f"not well again: {pusher.refused[-3:]}")
    for number in range(0, 40, 7):
        for replica in cluster.replicas:
            replica.pull("team/app", str(number))


def assert_polite(pushers, pullers):
    """A store's trouble is a 503 that may be tried again, or a body that is cut; a client
    that asks again gets it."""
    for pusher in pushers:
        assert pusher.broken == 0
        for _, response in pusher.refused:
            assert response.status == 503 and "retry-after" in response.headers, response
    for puller in pullers:
        assert puller.done > 0, puller.failures[-5:]
        for _, _, path, what in puller.failures:
            with contextlib.suppress(TypeError, ValueError):
                status, complete, _ = what
                assert status == 503 or not complete, (path, what)


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("fault", S3_FAULTS)
def test_s3(stores, upstream, run_cluster, promises, proxy_of, fault):
    proxy = proxy_of(stores.minio)
    cluster = run_cluster(upstream, s3={"endpoint": proxy.endpoint, **PARTS})
    layers = LARGE if fault in ("swallowed", "errors-that-say-200") else LAYERS
    pushers, pullers = work_beside(cluster, upstream, promises, proxy, S3_FAULTS[fault], layers)
    assert_polite(pushers, pullers)
    assert_well_again(cluster, upstream, promises, proxy)


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("fault", REDIS_FAULTS)
def test_redis(stores, upstream, run_cluster, promises, proxy_of, fault):
    proxy = proxy_of(stores.redis)
    cluster = run_cluster(upstream, redis={"address": proxy.address}, s3=PARTS)
    pushers, pullers = work_beside(cluster, upstream, promises, proxy, REDIS_FAULTS[fault], SMALL)
    assert_polite(pushers, pullers)
    assert [failure for puller in pullers for failure in puller.failures] == [], "pulls need no Redis"
    assert_well_again(cluster, upstream, promises, proxy)


@pytest.mark.parametrize("size", [100_000, 12_000_000], ids=["one-request", "multipart"])
def test_a_store_that_keeps_nothing_is_not_believed(stores, run_cluster, promises, proxy_of, size):
    """Every PUT and Complete says 200. No push is acknowledged."""
    proxy = proxy_of(stores.minio)
    cluster = run_cluster(s3={"endpoint": proxy.endpoint, **PARTS})
    repository = Repository(cluster, "team/app")
    content = images.random_bytes(size, size)
    digest = images.digest_of(content)
    if size > 5 << 20:
        proxy.fail("swallow", method="POST", match="uploadId=")
    else:
        proxy.fail("swallow", method="PUT")
    response = repository.post(content, digest=digest)
    assert response.status == 503, response
    assert "retry-after" in response.headers
    proxy.heal()
    assert cluster.everywhere(lambda replica: Repository(replica, "team/app").blob(digest).status) == [404] * 3
    assert repository.post(content, digest=digest).status == 201
    promises.keep_blob("team/app", digest, content)


def test_no_byte_is_stored_twice(stores, upstream, run_cluster, promises, proxy_of):
    """A push sends each byte once; the same push at another replica, and the fills of
    all of them, leave nothing more behind."""
    proxy = proxy_of(stores.minio)
    cluster = run_cluster(upstream, s3={"endpoint": proxy.endpoint, **PARTS})
    contents = [images.random_bytes(size, size) for size in (200_000, 12_000_000)]
    cached = upstream.add("team/app", "1", images.image([300_000]))
    total = sum(map(len, contents))
    proxy.forget()
    for replica in cluster.replicas:
        for content in contents:
            digest = images.digest_of(content)
            assert Repository(replica, "team/app").push_chunked(content, 5_000_000) == digest
            promises.keep_blob("team/app", digest, content)
        sent = sum(length for method, _, length, _ in proxy.requests() if method in ("PUT", "POST"))
        print(f"{sent / total:.3f} bytes sent for each byte")
        if replica is cluster.replicas[0]:
            assert sent < 1.01 * total
    for replica in cluster.replicas:
        replica.pull("team/app", "1")
    total += sum(map(len, cached.blobs.values()))
    within(10, lambda: cluster.stored_bytes() < 1.01 * total,
           lambda: f"{cluster.stored_bytes()} bytes are stored, of {total}")
    assert not [key for key, _ in stores.minio.client.uploads(BUCKET) if key.startswith(cluster.prefix)]
