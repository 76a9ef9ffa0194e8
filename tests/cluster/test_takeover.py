"""A replica dies in the middle of a fill that others stream from."""

import signal

import pytest

from fakes import faults, images
from harness.raw import Stream
from harness.server import NAME, start_task

SIZE, HALF = 4_000_000, 2_000_000
SETTINGS = {"prefetchLayers": False, "timeouts": {"stall": "60s"}}


@pytest.fixture
def half_way(upstream, run_cluster):
    """The first replica holds the fill and has half of the blob; each of the others has
    a client that was given a part of that."""
    image = upstream.add("team/app", "1", images.image([SIZE]))
    layer = image.layers[0]
    gate = faults.Gate(HALF)
    upstream.fail("blobs", faults.gate(gate), reference=layer, times=1)
    cluster = run_cluster(upstream, settings=SETTINGS)
    streams = []
    for replica in cluster.replicas:
        assert replica.manifest("team/app", "1").status == 200
        streams.append(Stream(replica.port, f"/v2/team/app/blobs/{layer}?ns={NAME}", timeout=60))
        assert streams[-1].read(HALF // 2) == image.blobs[layer][:HALF // 2]
    assert upstream.count("GET", "blobs", layer) == 1
    # Slow enough that who takes over is met at it by the other one.
    upstream.fail("blobs", faults.slow(1_000_000), reference=layer)
    yield cluster, image, layer, streams, gate
    gate.open()
    for stream in streams:
        stream.close()


def assert_taken_over(upstream, layer):
    """By one of them, from the byte that was missing."""
    first, *more = upstream.asked("GET", "blobs", layer)
    assert "range" not in first.headers
    assert len(more) <= 1, [exchange.headers.get("range") for exchange in more]
    for exchange in more:
        begin = int(exchange.headers["range"].removeprefix("bytes=").partition("-")[0])
        assert 0 < begin <= HALF, exchange.headers["range"]


def test_holder_is_killed(upstream, half_way):
    cluster, image, layer, (_, second, third), _ = half_way
    cluster.replicas[0].kill()
    rests = [start_task(stream.rest) for stream in (second, third)]
    for rest in rests:
        assert rest() == image.blobs[layer]
    assert_taken_over(upstream, layer)
    upstream.refuse()
    cluster.replicas[0].start()
    for replica in cluster.replicas:
        assert replica.blob("team/app", layer).body == image.blobs[layer]
    upstream.accept()


def test_holder_hangs(upstream, half_way):
    """It is stopped, so its connections stay open: that costs a deadline."""
    cluster, image, layer, (_, second, third), gate = half_way
    cluster.replicas[0].process.send_signal(signal.SIGSTOP)
    try:
        rests = [start_task(stream.rest) for stream in (second, third)]
        for rest in rests:
            assert rest() == image.blobs[layer]
        assert_taken_over(upstream, layer)
    finally:
        cluster.replicas[0].process.send_signal(signal.SIGCONT)
    gate.open()
    assert cluster.replicas[0].blob("team/app", layer).body == image.blobs[layer]


def test_all_but_one_are_killed(upstream, half_way):
    cluster, image, layer, (_, _, third), _ = half_way
    for replica in cluster.replicas[:2]:
        replica.kill()
    assert third.rest() == image.blobs[layer]
    assert_taken_over(upstream, layer)
    for replica in cluster.replicas[:2]:
        replica.start()


def test_whoever_comes_after_the_death_waits_for_no_lease(upstream, half_way):
    """The dead one's lease is there for a while; a client does not wait for all of it."""
    cluster, image, layer, (_, second, third), _ = half_way
    cluster.replicas[0].kill()
    late = start_task(lambda: cluster.replicas[2].blob("team/app", layer))
    for stream in (second, third):
        assert stream.rest() == image.blobs[layer]
    assert late().body == image.blobs[layer]
    assert_taken_over(upstream, layer)
    cluster.replicas[0].start()
