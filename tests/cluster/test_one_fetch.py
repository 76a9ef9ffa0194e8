"""However many replicas there are, and clients at each: the upstream sees one fetch of
each blob."""

import pytest

from fakes import faults, images
from harness.raw import Stream
from harness.server import in_parallel

CLIENTS = 100
THREADS = {"http": {"threads": 256}}


def assert_fetched_once(upstream, *digests):
    for digest in digests:
        asked = upstream.asked("GET", "blobs", digest)
        assert len(asked) == 1, (digest, [(exchange.at, exchange.headers.get("range")) for exchange in asked])


def pull_everywhere(cluster, repository, tag, image, clients=CLIENTS):
    """All at once, dealt out to the replicas; each byte is hashed."""
    replicas = cluster.replicas
    pulls = in_parallel([lambda number=number: replicas[number % len(replicas)].pull(repository, tag)
                         for number in range(clients)])
    for manifest, *blobs in pulls:
        assert manifest.body == image.body
        assert [blob.body for blob in blobs] == [image.blobs[image.config],
                                                 *(image.blobs[layer] for layer in image.layers)]


@pytest.mark.parametrize("speed", [None, 4_000_000], ids=["fast", "slow"])
def test_hundred_cold_clients(upstream, run_cluster, speed):
    image = upstream.add("team/app", "1", images.image([3_000_000, 800_000, 20_000]))
    if speed:
        upstream.fail("blobs", faults.slow(speed))
    cluster = run_cluster(upstream, config=THREADS)
    pull_everywhere(cluster, "team/app", "1", image)
    assert_fetched_once(upstream, *image.blobs)


def test_a_replica_that_comes_later_asks_nobody(upstream, run_cluster):
    image = upstream.add("team/app", "1", images.image([500_000, 3_000]))
    cluster = run_cluster(upstream, running=False)
    cluster.replicas[0].start()
    cluster.replicas[0].pull("team/app", "1")
    cluster.replicas[0].wait_until(lambda: all(upstream.active[kind] == 0 for kind in ("blobs", "manifests")))
    upstream.refuse()
    for replica in cluster.replicas[1:]:
        replica.start()
        assert replica.pull("team/app", "1")[0].body == image.body
    upstream.accept()
    assert_fetched_once(upstream, *image.blobs)


def test_followers_stream_while_the_holder_fills(upstream, run_cluster):
    """They have the first bytes long before the upstream has sent the last one."""
    image = upstream.add("team/app", "1", images.image([2_000_000]))
    layer = image.layers[0]
    gate = faults.Gate(1_000_000)
    upstream.fail("blobs", faults.gate(gate), reference=layer)
    cluster = run_cluster(upstream, settings={"prefetchLayers": False, "timeouts": {"stall": "60s"}})
    streams = []
    for replica in cluster.replicas:
        replica.manifest("team/app", "1")
        streams.append(Stream(replica.port, f"/v2/team/app/blobs/{layer}?ns=up.test"))
    for stream in streams:
        assert stream.read(500_000) == image.blobs[layer][:500_000]
    gate.open()
    for stream in streams:
        assert stream.rest() == image.blobs[layer]
        stream.close()
    assert_fetched_once(upstream, layer)
