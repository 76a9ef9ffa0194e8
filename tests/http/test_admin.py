"""The admin listener: health and metrics, whatever the registry is busy with."""

import json

import pytest

from fakes import faults, images
from harness.client import path_with
from harness.raw import Stream
from harness.server import NAME

PATIENT = {"firstByte": "20s", "stall": "20s"}


def test_health(upstream, serve):
    server = serve(upstream)
    assert server.admin("/livez").status == 200
    ready = server.admin("/readyz")
    assert ready.status == 200 and ready.headers["content-type"] == "application/json"
    assert json.loads(ready.body) == {"status": "ready", "objects": "ok", "index": "ok"}
    assert server.admin("/nothing").status == 404
    assert server.admin("/v2/").status == 404


def test_an_upstreams_outage_makes_nobody_unready(upstream, image, serve):
    upstream.refuse()
    server = serve(upstream)
    for _ in range(10):
        assert server.manifest("team/app", "1").status in (502, 503)
    assert server.admin("/readyz").status == 200
    assert server.admin("/livez").status == 200


def test_health_when_every_worker_is_busy(upstream, serve):
    image = upstream.add("team/big", "1", images.image([1 << 20]))
    gate = faults.Gate(100)
    upstream.fail("blobs", faults.gate(gate))
    server = serve(upstream, config={"http": {"threads": 4}}, timeouts=PATIENT)
    path = path_with(f"/v2/team/big/blobs/{image.layers[0]}", ns=NAME)
    streams = [Stream(server.port, path) for _ in range(12)]
    assert gate.reached.wait(10)
    for _ in range(3):
        assert server.admin("/livez").status == 200
        assert server.admin("/readyz").status == 200
        assert server.admin("/metrics").status == 200
    gate.open()
    for stream in streams:
        assert stream.rest() == image.blobs[image.layers[0]]
        stream.close()


def test_idle_connections_keep_nobody_waiting(upstream, image, serve):
    """Keep-alive holds a worker each: when they run short, it is taken back."""
    server = serve(upstream, config={"http": {"threads": 4}})
    path = path_with("/v2/team/app/manifests/1", ns=NAME)
    clients = [server.client(timeout=10) for _ in range(16)]
    for client in clients:
        assert client.get(path).status == 200
    for client in clients:
        assert client.get(path).status == 200
        client.close()


def test_metrics_of_a_pull(upstream, image, serve):
    server = serve(upstream)
    server.pull("team/app", "1")
    server.wait_until(lambda: server.metrics().value("registry_proxy_fills_in_flight") == 0)
    server.pull("team/app", "1")
    metrics = server.metrics()
    assert metrics.value("registry_build_info") == 1
    assert metrics.value("registry_http_requests_total", method="GET", code="200") == 8
    assert metrics.value("registry_http_requests_total", method="HEAD", code="200") == 2
    assert metrics.value("registry_http_request_duration_seconds_count") >= 10
    assert metrics.value("registry_http_request_duration_seconds_bucket", le="+Inf") >= 10
    assert metrics.value("registry_proxy_requests_total", upstream=NAME) == 10
    requests = {kind: metrics.value("registry_proxy_requests_total", type=kind, upstream=NAME)
                for kind in ("manifest", "blob")}
    assert requests == {"manifest": 4, "blob": 6}
    hits = metrics.value("registry_proxy_hits_total", upstream=NAME)
    misses = metrics.value("registry_proxy_misses_total", upstream=NAME)
    assert hits + misses == 10 and hits >= 6 and misses >= 1
    size = sum(map(len, image.blobs.values())) + len(image.body)
    assert metrics.value("registry_proxy_pulled_bytes_total", upstream=NAME) == size
    assert metrics.value("registry_proxy_pushed_bytes_total", upstream=NAME) == 2 * size
    assert metrics.value("registry_proxy_upstream_requests_total", upstream=NAME, code="200") >= 4
    assert metrics.value("registry_storage_action_seconds_count") > 0


def test_metrics_are_well_formed(upstream, image, serve):
    server = serve(upstream)
    server.pull("team/app", "1")
    reply = server.admin("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    metrics = server.metrics()
    described = {line.split(" ")[2] for line in metrics.text.splitlines() if line.startswith("# TYPE")}
    for name in metrics.names():
        family = name
        for suffix in ("_bucket", "_sum", "_count"):
            if name.removesuffix(suffix) in described:
                family = name.removesuffix(suffix)
        assert family in described, name
    assert len(set(metrics.text.splitlines())) == len(metrics.text.splitlines()), "a line twice"


def test_labels_hold_nothing_that_a_client_chose(upstream, image, serve):
    server = serve(upstream)
    for number in range(20):
        server.manifest(f"team/app{number}", f"tag{number}")
        server.get(f"/path{number}", X_Thing=f"thing{number}")
        server.manifest("team/app", "1", ns=f"unknown{number}.test")
        server.request(f"METHOD{number}", "/v2/")
    text = server.metrics().text
    for piece in ("team/app", "tag1", "path1", "unknown1", "sha256", "METHOD1"):
        assert piece not in text


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_admin_is_for_reading(upstream, serve, method):
    from harness.client import Client
    server = serve(upstream)
    with Client("127.0.0.1", server.admin_port) as client:
        assert client.request(method, "/metrics").status in (404, 405)


def test_unready_when_the_store_is_gone(upstream, image, serve):
    """Its folder was removed or unmounted below it: that is ours, and readiness says so."""
    server = serve(upstream)
    assert server.admin("/readyz").status == 200
    server.root.rename(server.folder / "moved")
    server.root.write_bytes(b"not a folder")
    server.wait_until(lambda: server.admin("/readyz").status == 503, timeout=30)
    state = json.loads(server.admin("/readyz").body)
    assert state["status"] == "unready" and str(server.root) in state["objects"]
    assert server.metrics().value("registry_store_up", store="objects") == 0
    assert server.admin("/livez").status == 200
    server.root.unlink()
    (server.folder / "moved").rename(server.root)
    server.wait_until(lambda: server.admin("/readyz").status == 200, timeout=5)
    assert server.metrics().value("registry_store_up", store="objects") == 1


def test_an_index_that_is_gone_takes_no_replica_away(upstream, image, serve):
    """What is stored is still pulled without it, so requests are better sent here than
    nowhere; a push says itself that it cannot be done."""
    server = serve(upstream)
    server.pull("team/app", "1")
    for path in server.folder.glob("index.db*"):
        path.rename(server.folder / f"moved-{path.name}")
    server.wait_until(lambda: json.loads(server.admin("/readyz").body)["status"] == "degraded")
    reply = server.admin("/readyz")
    state = json.loads(reply.body)
    assert reply.status == 200 and state["objects"] == "ok" and state["index"] != "ok"
    assert server.metrics().value("registry_store_up", store="index") == 0
    assert server.metrics().value("registry_store_up", store="objects") == 1
