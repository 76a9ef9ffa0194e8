"""Starting, draining, reloading."""

import contextlib
import http.client
import signal
import socket

import pytest

from fakes import faults, images
from harness.client import path_with
from harness.raw import Stream
from harness.server import NAME, merged, settings_of

PATIENT = {"firstByte": "20s", "stall": "20s"}


@pytest.fixture
def big(upstream):
    return upstream.add("team/big", "1", images.image([2 << 20]))


@pytest.fixture
def gate(upstream, big):
    gate = faults.Gate(1 << 20)
    upstream.fail("blobs", faults.gate(gate), reference=big.layers[0])
    yield gate
    gate.open()


def start_download(server, big):
    path = path_with(f"/v2/team/big/blobs/{big.layers[0]}", ns=NAME)
    stream = Stream(server.port, path)
    stream.read(500_000)
    return stream


def is_closed(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return False
    except OSError:
        return True


def test_sigterm_lets_downloads_finish(upstream, big, gate, serve):
    server = serve(upstream, timeouts=PATIENT, config={"http": {"drainTimeout": "30s"}})
    stream = start_download(server, big)
    server.signal(signal.SIGTERM)
    server.wait_until(lambda: is_closed(server.port))
    assert server.process.poll() is None
    gate.open()
    assert stream.rest() == big.blobs[big.layers[0]]
    stream.close()
    assert server.process.wait(20) == 0


def test_sigterm_makes_it_unready(upstream, big, gate, serve):
    """A load balancer must see it, while downloads are still running."""
    server = serve(upstream, timeouts=PATIENT, config={"http": {"drainTimeout": "30s"}})
    stream = start_download(server, big)
    server.signal(signal.SIGTERM)

    def unready():
        with contextlib.suppress(OSError, http.client.HTTPException):
            return server.admin("/readyz").status == 503
        return False
    server.wait_until(unready)
    assert server.admin("/livez").status == 200
    gate.open()
    assert stream.rest() == big.blobs[big.layers[0]]
    stream.close()


def leaving(server):
    with contextlib.suppress(OSError, http.client.HTTPException):
        reply = server.admin("/readyz")
        return reply.status == 503 and b"draining" in reply.body
    return False


def test_who_still_comes_is_served_while_the_word_spreads(upstream, image, serve):
    """A load balancer goes on sending clients until it has heard: none of them is lost."""
    server = serve(upstream, config={"http": {"drainDelay": "20s"}})
    server.pull("team/app", "1")
    with server.client() as early:
        early.get("/v2/")
        server.signal(signal.SIGTERM)
        server.wait_until(lambda: leaving(server))
        assert early.get("/v2/").headers["connection"] == "close"
        for _ in range(3):
            with server.client() as client:
                reply = client.get("/v2/")
                assert reply.status == 200 and reply.headers["connection"] == "close"
        server.pull("team/app", "1")
        assert server.process.poll() is None
        server.signal(signal.SIGTERM)          # somebody does not want to wait
        assert server.process.wait(10) == 0


def test_the_delay_of_a_drain_has_an_end(upstream, serve):
    server = serve(upstream, config={"http": {"drainDelay": "1s"}})
    server.signal(signal.SIGTERM)
    server.wait_until(lambda: leaving(server))
    assert not is_closed(server.port)
    assert server.process.wait(10) == 0


def test_ctrl_c_does_not_wait_for_load_balancers(upstream, serve):
    server = serve(upstream, config={"http": {"drainDelay": "60s"}})
    server.signal(signal.SIGINT)
    assert server.process.wait(10) == 0


def test_drain_has_an_end(upstream, big, gate, serve):
    server = serve(upstream, timeouts=PATIENT, config={"http": {"drainTimeout": "1s"}})
    stream = start_download(server, big)
    server.signal(signal.SIGTERM)
    assert server.process.wait(15) in (0, 1)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        stream.rest()
    stream.close()


def test_idle_connections_do_not_hold_up_the_end(upstream, image, serve):
    server = serve(upstream, config={"http": {"drainTimeout": "60s"}})
    clients = [server.client() for _ in range(5)]
    for client in clients:
        client.get("/v2/")
    assert server.stop(timeout=10) == 0
    for client in clients:
        client.close()


def test_sigterm_twice_and_sigint(upstream, serve):
    server = serve(upstream)
    server.signal(signal.SIGTERM)
    with contextlib.suppress(ProcessLookupError):
        server.signal(signal.SIGTERM)
    assert server.process.wait(20) in (0, 1)
    server.start()
    server.signal(signal.SIGINT)
    assert server.process.wait(20) == 0


def test_start_up_says_what_is_served_where(upstream, serve):
    server = serve(upstream)
    text = server.stderr()
    for piece in (f"127.0.0.1:{server.port}", f"127.0.0.1:{server.admin_port}", NAME, str(server.root)):
        assert piece in text
    server.check_log()


def test_address_that_is_taken(upstream, serve):
    first = serve(upstream)
    second = serve(upstream, running=False)
    second.write(merged(second.document, {"http": {"address": f"127.0.0.1:{first.port}"}}))
    with pytest.raises(AssertionError) as failure:
        second.start()
    assert str(first.port) in str(failure.value)


def test_two_servers_do_not_share_a_store_by_accident(upstream, image, serve):
    """If the second one starts at all, both must go on serving rightly."""
    first = serve(upstream)
    second = serve(upstream, running=False)
    second.write(merged(second.document, {
        "storage": {"filesystem": {"rootDirectory": str(first.root)}},
        "metadata": {"sqlite": {"path": str(first.folder / "index.db")}}}))
    with contextlib.suppress(AssertionError):
        second.start()
        second.pull("team/app", "1")
    first.pull("team/app", "1")


# Reload

def reloads(server, result):
    return server.metrics().value("registry_config_reloads_total", result=result)


def reload(server, document, result="ok"):
    before = reloads(server, result)
    server.write(document)
    server.signal(signal.SIGHUP)
    server.wait_until(lambda: reloads(server, result) == before + 1)


def test_reload_brings_an_upstream(upstream, other, image, serve):
    theirs = other.add("team/app", "1", images.image(seed=5))
    server = serve(upstream)
    assert server.manifest("team/app", "1", ns="other.test").status == 404
    reload(server, merged(server.document,
                          {"proxy": {"upstreams": {"other.test": settings_of(other)}}}))
    assert server.manifest("team/app", "1", ns="other.test").body == theirs.body
    assert server.manifest("team/app", "1").body == image.body


def test_reload_takes_an_upstream_away(upstream, other, image, serve):
    other.add("team/app", "1", images.image(seed=5))
    server = serve(upstreams={NAME: settings_of(upstream), "other.test": settings_of(other)})
    assert server.manifest("team/app", "1", ns="other.test").status == 200
    reload(server, merged(server.document, {"proxy": {"upstreams": {"other.test": None}}}))
    assert server.manifest("team/app", "1", ns="other.test").status == 404


def test_reload_changes_a_ttl(upstream, image, serve):
    server = serve(upstream, manifestTTL="1h")
    server.manifest("team/app", "1")
    assert server.manifest("team/app", "1").cache == "hit"
    reload(server, merged(server.document,
                          {"proxy": {"upstreams": {NAME: {"manifestTTL": "0s"}}}}))
    assert server.manifest("team/app", "1").cache == "revalidated"


@pytest.mark.parametrize("bad", ["proxy: [", "version: 1\nproxi: {}\n", "", "version: 2\n", "\x00"])
def test_bad_file_keeps_the_old_one(upstream, image, serve, bad):
    server = serve(upstream)
    good = server.document
    reload(server, bad, "refused")
    assert server.manifest("team/app", "1").status == 200
    assert any(str(server.config_file) in line for line in server.stderr().splitlines())
    reload(server, good)
    assert server.manifest("team/app", "1").status == 200


def test_missing_file_keeps_the_old_one(upstream, image, serve):
    server = serve(upstream)
    server.config_file.unlink()
    server.signal(signal.SIGHUP)
    server.wait_until(lambda: reloads(server, "refused") == 1)
    assert server.manifest("team/app", "1").status == 200


def keys_that_need_a_restart(server):
    return [line["key"] for line in server.log_lines() if "needs a restart" in line["msg"]]


def test_reload_names_what_needs_a_restart_as_long_as_it_does(upstream, image, serve):
    server = serve(upstream)
    good = server.document
    changed = merged(good, {"http": {"threads": 32}})
    reload(server, changed)
    reload(server, changed)
    assert keys_that_need_a_restart(server) == ["http.threads"] * 2
    reload(server, good)   # as it runs: nothing to restart for
    assert keys_that_need_a_restart(server) == ["http.threads"] * 2


def test_reload_names_stores_that_need_a_restart(upstream, image, serve):
    server = serve(upstream)
    good = server.document
    reload(server, merged(good, {"storage": {"maxCacheSize": "1GiB"},
                                 "metadata": {"sqlite": None, "redis": {"address": "127.0.0.1:1"}}}))
    assert keys_that_need_a_restart(server) == ["storage.maxCacheSize", "metadata.redis"]
    reload(server, merged(good, {"storage": {"filesystem": None, "s3": {
        "endpoint": "http://127.0.0.1:1", "bucket": "b", "accessKey": "a", "secretKey": "s"}}}))
    assert keys_that_need_a_restart(server)[2:] == ["storage.s3"]


def test_reload_does_not_disturb_a_download(upstream, other, big, gate, serve):
    server = serve(upstream, timeouts=PATIENT)
    stream = start_download(server, big)
    reload(server, merged(server.document, {"proxy": {"upstreams": {
        NAME: None, "other.test": settings_of(other)}}}))
    gate.open()
    assert stream.rest() == big.blobs[big.layers[0]]
    stream.close()


def test_many_reloads_under_load(upstream, image, serve):
    server = serve(upstream, manifestTTL="0s")
    for _ in range(20):
        server.signal(signal.SIGHUP)
        assert server.manifest("team/app", "1").status == 200
    server.wait_until(lambda: reloads(server, "ok") >= 1)
