"""What one replica has learned of an upstream the others know, too: they do not ask one
that is out of order or out of quota, and have its connections in common."""

import time

from fakes import faults, images
from harness.cluster import within
from harness.server import start_task

TOLD = 3        # seconds until everybody has heard it


def test_a_rate_limit_is_heeded_by_all(upstream, run_cluster):
    for number in range(9):
        upstream.add("team/app", str(number), images.image([1_000], seed=number))
    cluster = run_cluster(upstream)
    upstream.fail("manifests", faults.status(429, Retry_After=60))
    assert cluster.replicas[0].manifest("team/app", "0").status == 503
    time.sleep(TOLD)    # what is tested is a length of time
    upstream.forget()
    for number, replica in enumerate(cluster.replicas):
        response = replica.manifest("team/app", str(number + 1))
        assert response.status == 503, response
        assert 1 <= int(response.headers["retry-after"]) <= 60
    assert upstream.count("GET", "manifests") + upstream.count("HEAD", "manifests") == 0


def test_an_outage_is_found_out_once(upstream, run_cluster):
    """A breaker that opened here is open there, and all of them close soon after."""
    for number in range(40):
        upstream.add("team/app", str(number), images.image([1_000], seed=number))
    cluster = run_cluster(upstream, settings={"negativeTTL": "1s"})
    upstream.fail("all", faults.status(500))
    first = cluster.replicas[0]
    for number in range(20):
        assert first.manifest("team/app", str(number)).status in (502, 503)
    time.sleep(TOLD)
    upstream.forget()
    for number in range(20, 30):
        for replica in cluster.replicas[1:]:
            assert replica.manifest("team/app", str(number)).status in (502, 503)
    assert upstream.count() <= 10, "20 requests to an upstream that is known to be ill"
    upstream.heal()
    for replica in cluster.replicas:
        within(40, lambda replica=replica: replica.manifest("team/app", "39").status == 200,
               "the breaker does not close")


def test_connections_are_counted_over_all(upstream, run_cluster):
    layers = [40_000] * 24
    image = upstream.add("team/app", "1", images.image(layers))
    cluster = run_cluster(upstream, settings={"maxConnections": 6, "prefetchLayers": False})
    within(10, lambda: all(any(line["msg"] == "replicas" and line["count"] == 3
                               for line in replica.log_lines()) for replica in cluster.replicas),
           "the replicas do not know of each other")
    upstream.fail("blobs", faults.slow(200_000))
    cluster.everywhere(lambda replica: replica.manifest("team/app", "1"))
    pulls = [start_task(lambda number=number, digest=digest: cluster.replicas[number % 3].blob(
        "team/app", digest)) for number, digest in enumerate(image.layers)]
    for pull, digest in zip(pulls, image.layers):
        assert pull().body == image.blobs[digest]
    assert upstream.most_active["blobs"] <= 6
    for digest in image.layers:
        assert upstream.count("GET", "blobs", digest) == 1
