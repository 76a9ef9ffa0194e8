"""A blob is fetched once, and everybody who waits for it streams it already."""

import hashlib
import http.client

import pytest

from fakes import faults, images
from harness.client import digest_matches, path_with
from harness.raw import Stream
from harness.server import NAME, in_parallel, start_task

MIB = 1 << 20
SIZE = 4 * MIB
PATIENT = {"firstByte": "20s", "stall": "20s"}


@pytest.fixture
def big(upstream):
    """team/big:1, one layer of 4 MiB."""
    return upstream.add("team/big", "1", images.image([SIZE], seed=4))


@pytest.fixture
def layer(big):
    return big.layers[0]


@pytest.fixture
def content(big, layer):
    return big.blobs[layer]


@pytest.fixture
def gate(upstream, layer):
    """Holds the layer back after its first MiB, until opened (at the latest at the test's end)."""
    gate = faults.Gate(MIB)
    upstream.fail("blobs", faults.gate(gate), reference=layer)
    yield gate
    gate.open()


def blob_path(digest, repository="team/big"):
    return path_with(f"/v2/{repository}/blobs/{digest}", ns=NAME)


def gets(upstream, layer):
    return upstream.asked("GET", "blobs", layer)


def wait_stored(server, count=1):
    server.wait_until(lambda: len(server.stored_blobs()) >= count)


def wait_hit(server, layer):
    """Stored, and known to be this repository's: from now on no upstream is needed."""
    wait_stored(server)
    server.wait_until(lambda: server.blob("team/big", layer).cache == "hit")


def test_clients_stream_while_it_is_fetched(upstream, layer, content, gate, serve):
    server = serve(upstream, timeouts=PATIENT)
    streams = [Stream(server.port, blob_path(layer)) for _ in range(20)]
    for stream in streams:
        assert stream.read(MIB) == content[:MIB]
    assert gate.reached.is_set()   # the rest is still at the upstream
    gate.open()
    for stream in streams:
        assert stream.rest() == content
        assert stream.header("Content-Length") == str(SIZE)
        stream.close()
    assert len(gets(upstream, layer)) == 1


def test_late_client_begins_at_the_beginning(upstream, layer, content, gate, serve):
    server = serve(upstream, timeouts=PATIENT)
    with Stream(server.port, blob_path(layer)) as early:
        early.read(MIB)
        with Stream(server.port, blob_path(layer)) as late:
            assert late.read(MIB) == content[:MIB]
            gate.open()
            assert late.rest() == content
            assert early.rest() == content
    assert len(gets(upstream, layer)) == 1


@pytest.mark.parametrize("value, first, end", [
    ("bytes=0-99", 0, 100),
    ("bytes=524288-524387", 524_288, 524_388),
    ("bytes=1048000-1048575", 1_048_000, MIB),
])
def test_range_of_what_has_come(upstream, layer, content, gate, serve, value, first, end):
    server = serve(upstream, timeouts=PATIENT)
    with Stream(server.port, blob_path(layer)) as stream:
        stream.read(MIB)
        reply = server.blob("team/big", layer, Range=value)
        assert (reply.status, reply.body) == (206, content[first:end])
        assert reply.headers["content-range"] == f"bytes {first}-{end - 1}/{SIZE}"
    gate.open()


def test_client_that_leaves_while_it_waits_frees_its_worker(upstream, layer, gate, serve):
    """The upstream hangs, clients give up: their workers must not wait on for nobody."""
    server = serve(upstream, timeouts={"firstByte": "60s", "stall": "60s"})
    streams = [Stream(server.port, blob_path(layer)) for _ in range(10)]
    for stream in streams:
        stream.read(1000)
        stream.close()
    server.wait_until(lambda: server.metrics().value("registry_http_in_flight_requests") == 0)
    gate.open()


@pytest.mark.parametrize("value, first, end", [
    ("bytes=0-0", 0, 1),
    ("bytes=2000000-2000999", 2_000_000, 2_001_000),
    ("bytes=-1000", SIZE - 1000, SIZE),
    ("bytes=1000000-", 1_000_000, SIZE),
])
def test_range_waits_for_its_bytes(upstream, layer, content, gate, serve, value, first, end):
    server = serve(upstream, timeouts=PATIENT)
    reply = start_task(lambda: server.blob("team/big", layer, Range=value))
    assert gate.reached.wait(20)
    gate.open()
    reply = reply()
    assert (reply.status, reply.body) == (206, content[first:end])
    wait_stored(server)
    assert server.blob("team/big", layer).body == content
    assert len(gets(upstream, layer)) == 1


def test_range_behind_the_end_while_cold(upstream, layer, gate, serve):
    server = serve(upstream, timeouts=PATIENT)
    reply = server.blob("team/big", layer, Range=f"bytes={SIZE}-")
    assert reply.status == 416
    assert reply.headers["content-range"] == f"bytes */{SIZE}"
    gate.open()


def test_the_end_is_withheld_until_the_digest_matched(upstream, layer, content, serve):
    """All bytes have come but the last: no client may have been given the end yet."""
    server = serve(upstream, timeouts=PATIENT)
    last = faults.Gate(SIZE - 1)
    upstream.fail("blobs", faults.gate(last), reference=layer)
    with Stream(server.port, blob_path(layer)) as stream:
        stream.read(SIZE - MIB)
        assert last.reached.wait(20)
        stream.connection.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stream.rest()
    last.open()


@pytest.mark.parametrize("at", [0, SIZE // 2, SIZE - 1])
def test_corrupt_body_is_never_completed(upstream, layer, serve, at):
    server = serve(upstream)
    upstream.fail("blobs", faults.corrupt(at))
    for reply in in_parallel([lambda: server.blob("team/big", layer)] * 5):
        assert reply.status == 502 or not reply.complete
    assert server.stored_blobs() == []
    upstream.heal()
    server.wait_until(lambda: server.blob("team/big", layer).status == 200)
    assert server.blob("team/big", layer).complete


@pytest.mark.parametrize("fault", [faults.reset(after=MIB), faults.truncate(after=MIB),
                                   faults.hang(after=MIB)])
def test_broken_read_resumes(upstream, layer, content, serve, fault):
    server = serve(upstream)
    upstream.fail("blobs", fault, times=1)
    reply = server.blob("team/big", layer)
    assert (reply.status, reply.complete, reply.body) == (200, True, content)
    first, second = gets(upstream, layer)
    assert "range" not in first.headers
    assert second.headers["range"].startswith("bytes=")
    assert int(second.headers["range"].removeprefix("bytes=").rstrip("-")) > 0
    assert server.metrics().value("registry_proxy_fill_resumes_total", upstream=NAME) == 1


def test_resumes_again_and_again(upstream, layer, content, serve):
    server = serve(upstream)
    upstream.fail("blobs", faults.reset(after=MIB), times=3)
    reply = server.blob("team/big", layer)
    assert (reply.status, reply.complete, reply.body) == (200, True, content)


def test_upstream_that_knows_no_range(upstream, layer, content, serve):
    server = serve(upstream)
    upstream.ranges = False
    upstream.fail("blobs", faults.reset(after=MIB), times=1)
    reply = server.blob("team/big", layer)
    assert (reply.status, reply.complete, reply.body) == (200, True, content)


def test_resumed_from_a_mirror(upstream, other, layer, content, serve):
    other.repositories = upstream.repositories
    server = serve([upstream, other])
    upstream.fail("blobs", faults.reset(after=MIB), times=1)
    gate = faults.Gate(0)
    reply = start_task(lambda: server.blob("team/big", layer))
    upstream.wait_until(lambda it: it.count("GET", "blobs") == 1)
    upstream.refuse()
    gate.open()
    assert reply().body == content


def test_wrong_bytes_after_the_resume(upstream, layer, serve):
    """The second half is of another file; nothing of it may be published."""
    server = serve(upstream)
    upstream.fail("blobs", faults.reset(after=MIB), times=1)
    upstream.fail("blobs", faults.corrupt(at=SIZE - MIB - 5000), reference=layer)
    reply = server.blob("team/big", layer)
    assert reply.status == 502 or not reply.complete
    assert server.stored_blobs() == []


@pytest.mark.parametrize("answered", [b"bytes 0-9/10", b"bytes */4194304", b"nonsense"])
def test_wrong_content_range(upstream, layer, content, serve, answered):
    server = serve(upstream)
    upstream.fail("blobs", faults.reset(after=MIB), times=1)

    def change(reply, _):
        if "Content-Range" in reply.headers:
            reply.headers["Content-Range"] = answered.decode()
    upstream.fail("blobs", change)
    reply = server.blob("team/big", layer)
    assert not reply.complete or reply.body == content


def test_disconnected_client_does_not_end_a_fill(upstream, layer, content, gate, serve):
    server = serve(upstream, timeouts=PATIENT)
    stream = Stream(server.port, blob_path(layer))
    stream.read(1000)
    stream.close()
    gate.open()
    wait_hit(server, layer)
    upstream.refuse()
    assert server.blob("team/big", layer).body == content
    assert len(gets(upstream, layer)) == 1


def test_one_slow_client_holds_up_nobody(upstream, layer, content, serve):
    server = serve(upstream)
    slow = Stream(server.port, blob_path(layer))
    slow.read(1)
    assert server.blob("team/big", layer).body == content
    assert slow.rest() == content
    slow.close()


def cut_short(server):
    """The one line of the log about an answer that was not completed."""
    def lines():
        return [line for line in server.log_lines() if line["msg"] == "response cut short"]
    server.wait_until(lines)
    return lines()[0]


def test_log_blames_the_upstream_that_stalled(upstream, layer, serve):
    server = serve(upstream, timeouts={"firstByte": "1s", "stall": "1s"})
    upstream.fail("blobs", faults.hang(after=MIB), reference=layer)
    with Stream(server.port, blob_path(layer)) as stream:
        stream.read(MIB)
        upstream.fail("blobs", faults.hang())   # and it does not resume
        line = cut_short(server)
    assert line["level"] == "warning"
    assert NAME in line["err.message"]


def test_log_is_calm_about_a_client_that_left(layer, gate, upstream, serve):
    server = serve(upstream, timeouts=PATIENT)
    with Stream(server.port, blob_path(layer)) as stream:
        stream.read(MIB)
    line = cut_short(server)
    assert (line["level"], line["err.message"]) == ("info", "the client went away")


def test_size_that_the_manifest_did_not_say(upstream, serve):
    content = images.random_bytes(100_000, "s")
    image = images.image([content])
    lying = image.body.replace(b'"size": 100000', b'"size": 99999')
    assert lying != image.body
    listed = upstream.add("team/app", "1", images.Manifest(lying, image.media_type, image.blobs))
    server = serve(upstream, prefetchLayers=False)
    server.manifest("team/app", "1")
    reply = server.blob("team/app", listed.layers[0])
    assert reply.status == 502 or not reply.complete or reply.body == content


def test_blob_of_no_known_size(upstream, layer, content, serve):
    upstream.fail("blobs", faults.chunked())
    reply = serve(upstream).blob("team/big", layer)
    assert (reply.status, reply.complete, reply.body) == (200, True, content)


def test_head_fetches_nothing(upstream, layer, serve):
    server = serve(upstream)
    reply = server.blob("team/big", layer, method="HEAD")
    assert (reply.status, reply.headers["content-length"]) == (200, str(SIZE))
    assert all("range" in exchange.headers for exchange in gets(upstream, layer))


def test_fetches_at_once_are_limited(upstream, serve):
    image = upstream.add("team/many", "1", images.image([100_000] * 12))
    server = serve(upstream, maxConnections=2)
    server.pull("team/many", "1")
    assert len(image.layers) == 12
    assert upstream.most_active["blobs"] <= 2


def test_serving_a_manifest_fetches_its_blobs(upstream, big, serve):
    server = serve(upstream)
    server.manifest("team/big", "1")
    wait_stored(server, 3)
    upstream.refuse()
    for digest, content in big.blobs.items():
        reply = server.blob("team/big", digest)
        assert (reply.cache, reply.body) == ("hit", content)


def test_no_prefetch_when_told_so(upstream, big, serve):
    server = serve(upstream, prefetchLayers=False)
    server.manifest("team/big", "1")
    server.blob("team/big", big.config)   # and then, in order, nothing else was asked
    assert {asked.reference for asked in upstream.asked(kind="blobs")} == {big.config}


def test_prefetch_and_clients_share_one_fetch(upstream, layer, content, gate, serve):
    server = serve(upstream, timeouts=PATIENT)
    server.manifest("team/big", "1")
    assert gate.reached.wait(20)
    reply = start_task(lambda: server.blob("team/big", layer))
    gate.open()
    assert reply().body == content
    assert len(gets(upstream, layer)) == 1


def test_a_blob_is_seen_only_where_it_belongs(upstream, other, big, layer, content, serve):
    """Stored for one repository, it is not read through another that does not list it."""
    from harness.server import settings_of
    other.add("team/thief", "1", images.image(seed=9))
    upstream.add("team/thief", "1", images.image(seed=9))
    server = serve(upstreams={NAME: settings_of(upstream), "other.test": settings_of(other)})
    assert server.blob("team/big", layer).body == content
    wait_hit(server, layer)
    assert server.blob("team/thief", layer).status == 404
    assert server.blob("team/thief", layer, method="HEAD").status == 404
    assert server.blob("team/thief", layer, ns="other.test").status == 404
    upstream.refuse()
    other.refuse()
    assert server.blob("team/thief", layer).status != 200
    assert server.blob("team/thief", layer, ns="other.test").status != 200
    assert server.blob("team/big", layer).body == content


def test_blob_stored_for_another_is_not_fetched_twice(upstream, other, big, layer, content, serve):
    from harness.server import settings_of
    other.add("their/copy", "1", big)
    server = serve(upstreams={NAME: settings_of(upstream), "other.test": settings_of(other)})
    assert server.blob("team/big", layer).body == content
    wait_stored(server)
    reply = server.blob("their/copy", layer, ns="other.test")
    assert reply.body == content
    assert len([path for path in server.stored_blobs() if path.stat().st_size == SIZE]) == 1


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_a_hundred_cold_clients_of_a_hundred_megabytes(upstream, serve):
    size = 100_000_000
    image = upstream.add("team/huge", "1", images.image([size], seed=1))
    layer = image.layers[0]
    server = serve(upstream, config={"http": {"threads": 128}}, timeouts=PATIENT)

    def download():
        digest, received = hashlib.sha256(), 0
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        connection.request("GET", blob_path(layer, "team/huge"))
        reply = connection.getresponse()
        assert reply.status == 200
        while piece := reply.read(MIB):
            digest.update(piece)
            received += len(piece)
        connection.close()
        return received, f"sha256:{digest.hexdigest()}"

    assert set(in_parallel([download] * 100, timeout=250)) == {(size, layer)}
    assert len(gets(upstream, layer)) == 1
    assert server.peak_memory() < 150_000_000
    wait_stored(server)
    stored = next(path for path in server.stored_blobs() if path.stat().st_size == size)
    assert digest_matches(layer, stored.read_bytes())
