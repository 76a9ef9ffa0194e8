"""How long a tag is believed, and what is done then."""

import pytest

from fakes import faults, images
from harness.server import NAME, in_parallel, start_task


def test_fresh_tag_is_not_asked_for(upstream, image, serve):
    server = serve(upstream, manifestTTL="1h", prefetchLayers=False)
    server.manifest("team/app", "1")
    upstream.forget()
    for _ in range(3):
        assert server.manifest("team/app", "1").cache == "hit"
    assert upstream.exchanges == []


def test_expired_tag_costs_one_head(upstream, image, serve):
    server = serve(upstream, manifestTTL="0s", prefetchLayers=False)
    server.manifest("team/app", "1")
    upstream.forget()
    reply = server.manifest("team/app", "1")
    assert (reply.cache, reply.body) == ("revalidated", image.body)
    assert [asked.method for asked in upstream.exchanges] == ["HEAD"]


def test_tag_expires(upstream, image, serve):
    server = serve(upstream, manifestTTL="1s")
    server.manifest("team/app", "1")
    newer = upstream.add("team/app", "1", images.image(seed=9))
    server.wait_until(lambda: server.manifest("team/app", "1").body == newer.body)


def test_moved_tag(upstream, image, serve):
    server = serve(upstream, manifestTTL="0s")
    server.manifest("team/app", "1")
    newer = upstream.add("team/app", "1", images.image(seed=9))
    reply = server.manifest("team/app", "1")
    assert (reply.body, reply.cache) == (newer.body, "miss")
    assert server.manifest("team/app", image.digest).body == image.body


def test_digest_never_expires(upstream, image, serve):
    server = serve(upstream, manifestTTL="0s", prefetchLayers=False)
    server.manifest("team/app", image.digest)
    upstream.forget()
    assert server.manifest("team/app", image.digest).cache == "hit"
    upstream.refuse()
    reply = server.manifest("team/app", image.digest)
    assert reply.cache == "hit" and "warning" not in reply.headers
    assert upstream.exchanges == []


def test_digest_of_a_tag_that_was_pulled_needs_no_upstream(upstream, image, serve):
    server = serve(upstream, prefetchLayers=False)
    server.manifest("team/app", "1")
    upstream.forget()
    assert server.manifest("team/app", image.digest).cache == "hit"
    assert upstream.exchanges == []


def test_ttl_of_a_tag_pattern(upstream, image, serve):
    upstream.add("team/app", "v1", images.image(seed=2))
    server = serve(upstream, manifestTTL="0s", tagTTLs=[{"tags": "v*", "ttl": "1h"}])
    for tag in ("v1", "1"):
        server.manifest("team/app", tag)
    assert server.manifest("team/app", "v1").cache == "hit"
    assert server.manifest("team/app", "1").cache == "revalidated"


def test_first_pattern_that_matches_counts(upstream, serve):
    upstream.add("team/app", "v1-rc", images.image(seed=2))
    server = serve(upstream, manifestTTL="1h",
                   tagTTLs=[{"tags": "*-rc", "ttl": "0s"}, {"tags": "v*", "ttl": "1h"}])
    server.manifest("team/app", "v1-rc")
    assert server.manifest("team/app", "v1-rc").cache == "revalidated"


def test_stale_while_revalidate(upstream, image, serve):
    server = serve(upstream, manifestTTL="0s", staleWhileRevalidate="1h")
    server.manifest("team/app", "1")
    newer = upstream.add("team/app", "1", images.image(seed=9))
    gate = faults.Gate(0)
    upstream.fail("manifests", faults.hold(gate), times=1)
    reply = server.manifest("team/app", "1")   # while the upstream is being asked
    assert reply.body == image.body and reply.cache in ("hit", "stale")
    assert gate.reached.wait(10)
    gate.open()
    server.wait_until(lambda: server.manifest("team/app", "1").body == newer.body)


def test_revalidation_is_coalesced(upstream, image, serve):
    server = serve(upstream, manifestTTL="0s", prefetchLayers=False,
                   timeouts={"firstByte": "20s"})
    server.manifest("team/app", "1")
    upstream.forget()
    gate = faults.Gate(0)
    upstream.fail("manifests", faults.hold(gate))
    replies = [start_task(lambda: server.manifest("team/app", "1")) for _ in range(20)]
    server.wait_until(
        lambda: server.metrics().value("registry_http_in_flight_requests") >= 20)
    gate.open()
    assert {reply().body for reply in replies} == {image.body}
    assert len(upstream.exchanges) == 1


def test_a_cold_manifest_is_fetched_once(upstream, image, serve):
    server = serve(upstream, prefetchLayers=False, timeouts={"firstByte": "20s"})
    gate = faults.Gate(0)
    upstream.fail("manifests", faults.hold(gate))
    replies = [start_task(lambda: server.manifest("team/app", "1")) for _ in range(20)]
    server.wait_until(
        lambda: server.metrics().value("registry_http_in_flight_requests") >= 20)
    gate.open()
    assert {reply().body for reply in replies} == {image.body}
    assert upstream.count("GET", "manifests") == 1


def test_head_without_a_digest(upstream, image, serve):
    server = serve(upstream, manifestTTL="0s")
    server.manifest("team/app", "1")
    upstream.fail("manifests", faults.without_header("Docker-Content-Digest"))
    assert server.manifest("team/app", "1").body == image.body
    newer = upstream.add("team/app", "1", images.image(seed=9))
    assert server.manifest("team/app", "1").body == newer.body


def test_upstream_that_refuses_head(upstream, image, serve):
    upstream.fail("manifests", faults.status(405), method="HEAD")
    server = serve(upstream, manifestTTL="0s")
    assert server.manifest("team/app", "1", method="HEAD").status == 200
    newer = upstream.add("team/app", "1", images.image(seed=9))
    assert server.manifest("team/app", "1").body == newer.body


# Stale: only when the upstream could not tell

OUTAGES = {
    "reset": faults.reset(), "hang": faults.hang(), "500": faults.status(500),
    "502": faults.status(502), "503": faults.status(503), "429": faults.status(429, Retry_After=3),
    "garbage": faults.garbage(),
}


@pytest.mark.parametrize("outage", [*OUTAGES, "refused"])
def test_stale_when_the_upstream_cannot_tell(upstream, image, serve, outage):
    server = serve(upstream, manifestTTL="0s")
    server.manifest("team/app", "1")
    if outage == "refused":
        upstream.refuse()
    else:
        upstream.fail("all", OUTAGES[outage])
    for method in ("GET", "HEAD"):
        reply = server.manifest("team/app", "1", method=method)
        assert (reply.status, reply.cache) == (200, "stale")
        assert reply.headers["warning"].startswith("110 ")
        assert reply.digest == image.digest
        assert reply.headers["content-type"] == image.media_type
    assert server.metrics().value("registry_proxy_stale_served_total", upstream=NAME) >= 2


@pytest.mark.parametrize("status, expected, code", [
    (401, 403, "DENIED"), (403, 403, "DENIED"), (404, 404, "MANIFEST_UNKNOWN")])
def test_never_stale_when_the_upstream_says_no(upstream, image, serve, status, expected, code):
    server = serve(upstream, manifestTTL="0s")
    server.manifest("team/app", "1")
    upstream.fail("manifests", faults.status(status))
    reply = server.manifest("team/app", "1")
    assert (reply.status, reply.error["code"]) == (expected, code)


@pytest.mark.parametrize("stale_on, fault, stale", [
    (["network"], faults.status(500), False),
    (["network"], faults.reset(), True),
    (["5xx"], faults.status(500), True),
    (["5xx"], faults.reset(), False),
    (["5xx"], faults.status(429), False),
    (["429"], faults.status(429), True),
    ([], faults.reset(), False),
])
def test_what_counts_as_an_outage_is_configured(upstream, image, serve, stale_on, fault, stale):
    server = serve(upstream, manifestTTL="0s", staleOn=stale_on)
    server.manifest("team/app", "1")
    upstream.fail("manifests", fault)
    reply = server.manifest("team/app", "1")
    if stale:
        assert (reply.status, reply.cache) == (200, "stale")
    else:
        assert reply.status in (502, 503)


def test_stale_copy_outlives_a_restart(upstream, image, serve):
    server = serve(upstream, manifestTTL="0s")
    server.pull("team/app", "1")
    server.wait_until(lambda: server.metrics().value("registry_proxy_fills_in_flight") == 0)
    upstream.refuse()
    server.restart()
    reply = server.manifest("team/app", "1")
    assert (reply.cache, reply.body) == ("stale", image.body)
    for layer in image.layers:
        assert server.blob("team/app", layer).cache == "hit"


def test_moved_tag_whose_new_image_cannot_be_had(upstream, image, serve):
    """The HEAD says it moved, then the GET fails: the old image is better than none."""
    server = serve(upstream, manifestTTL="0s")
    server.manifest("team/app", "1")
    upstream.add("team/app", "1", images.image(seed=9))
    upstream.fail("manifests", faults.reset(), method="GET")
    reply = server.manifest("team/app", "1")
    assert (reply.status, reply.cache, reply.body) == (200, "stale", image.body)


def test_recovers_after_an_outage(upstream, image, serve):
    server = serve(upstream, manifestTTL="0s")
    server.manifest("team/app", "1")
    upstream.refuse()
    for _ in range(8):
        assert server.manifest("team/app", "1").cache == "stale"
    newer = upstream.add("team/app", "1", images.image(seed=9))
    upstream.accept()
    server.wait_until(lambda: server.manifest("team/app", "1").body == newer.body)


# Absence

def test_absence_is_remembered(upstream, image, serve):
    server = serve(upstream, negativeTTL="1h")
    assert server.manifest("team/app", "2").status == 404
    asked = len(upstream.exchanges)
    for _ in range(3):
        assert server.manifest("team/app", "2").status == 404
    assert len(upstream.exchanges) == asked
    assert server.manifest("team/app", "1").status == 200


def test_absence_is_forgotten(upstream, image, serve):
    server = serve(upstream, negativeTTL="1s")
    assert server.manifest("team/app", "2").status == 404
    newer = upstream.add("team/app", "2", images.image(seed=2))
    server.wait_until(lambda: server.manifest("team/app", "2").status == 200)
    assert server.manifest("team/app", "2").body == newer.body


def test_no_memory_of_absence(upstream, image, serve):
    server = serve(upstream, negativeTTL="0s")
    assert server.manifest("team/app", "2").status == 404
    upstream.add("team/app", "2", images.image(seed=2))
    assert server.manifest("team/app", "2").status == 200


@pytest.mark.parametrize("fault", [faults.reset(), faults.status(500), faults.status(429),
                                   faults.status(403)])
def test_a_failure_is_not_absence(upstream, image, serve, fault):
    server = serve(upstream, negativeTTL="1h")
    upstream.fail("manifests", fault)
    assert server.manifest("team/app", "1").status in (403, 502, 503)
    upstream.heal()
    server.wait_until(lambda: server.manifest("team/app", "1").status == 200)


def test_absent_blob_is_remembered_by_repository(upstream, image, serve):
    server = serve(upstream, negativeTTL="1h")
    layer = image.layers[0]
    upstream.add("team/other", "1", images.image(seed=5))
    assert server.blob("team/other", layer).status == 404
    assert server.blob("team/app", layer).status == 200


# A breaker spares the upstream, and the clients' time

def test_breaker(upstream, image, serve):
    server = serve(upstream)
    upstream.fail("all", faults.status(500))
    replies = [server.manifest("team/app", str(number)) for number in range(30)]
    assert {reply.status for reply in replies} == {502, 503}
    refused = next(reply for reply in replies if reply.status == 503)
    assert int(refused.headers["retry-after"]) >= 1
    assert len(upstream.exchanges) < 25
    upstream.heal()
    server.wait_until(lambda: server.manifest("team/app", "1").status == 200)


def test_mirrors_are_tried_in_order(upstream, other, image, serve):
    other.repositories = upstream.repositories
    server = serve([upstream, other], manifestTTL="0s")
    assert server.manifest("team/app", "1").status == 200
    assert other.count(kind="manifests") == 0
    upstream.refuse()
    reply = server.manifest("team/app", "1")
    assert (reply.status, reply.cache) == (200, "revalidated")
    assert other.count(kind="manifests") > 0


def test_mirror_without_the_image(upstream, other, image, serve):
    server = serve([other, upstream])
    assert server.manifest("team/app", "1").body == image.body
    assert server.blob("team/app", image.layers[0]).status == 200


def test_a_mirror_that_lacks_it_says_nothing_about_the_registry(upstream, other, image, serve):
    """The last of the urls is the registry itself: while it is down, nobody knows (never a 404)."""
    server = serve([other, upstream])
    upstream.refuse()
    reply = server.manifest("team/app", "1")
    assert reply.status == 502 and NAME in reply.error["message"]
    upstream.accept()
    server.wait_until(lambda: server.manifest("team/app", "1").status == 200)


def test_many_tags_at_once(upstream, serve):
    for number in range(40):
        upstream.add("team/many", f"t{number}", images.image(seed=number))
    server = serve(upstream)
    replies = in_parallel([lambda number=number: server.manifest("team/many", f"t{number}")
                           for number in range(40)])
    assert [reply.status for reply in replies] == [200] * 40
