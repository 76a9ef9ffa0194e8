"""Everything that can be wrong with an upstream, for manifests and for blobs,
with and without a copy in the cache.

What a client gets is right and whole, or it is an error that says what is the
matter; it is never wrong bytes, and never a 404 for anything but absence.
"""

import time

import pytest

from fakes import faults
from harness.server import NAME

# name -> the fault, what an uncached manifest is answered with, and a cached one
# that has expired.
FAULTS = {
    "reset": (faults.reset(), {502}, {"stale"}),
    "reset in the body": (faults.reset(after=100), {502}, {"stale", "revalidated"}),
    "hanging": (faults.hang(), {504}, {"stale"}),
    "hanging in the body": (faults.hang(after=100), {504}, {"stale", "revalidated"}),
    "429": (faults.status(429, Retry_After=1), {503}, {"stale"}),
    "500": (faults.status(500), {502}, {"stale"}),
    "503": (faults.status(503), {502}, {"stale"}),
    "slow": (faults.slow(4_000), {200}, {"revalidated"}),
    "truncating": (faults.truncate(after=100), {502}, {"stale", "revalidated"}),
    "wrong digest": (faults.corrupt(), {502}, {"stale", "revalidated"}),
    "too long by its header": (faults.wrong_length(+7), {502}, {"stale", "revalidated"}),
    "too short by its header": (faults.wrong_length(-7), {502}, {"stale", "revalidated"}),
    "shortened": (faults.shortened(), {502}, {"stale", "revalidated"}),
    "lengthened": (faults.lengthened(), {502}, {"stale", "revalidated"}),
    "endless redirects": (faults.redirect_forever(), {502}, {"stale"}),
    "redirect to nowhere": (faults.redirect_to("http://127.0.0.1:1/x"), {502}, {"stale"}),
    "redirect to a file": (faults.redirect_to("file:///etc/passwd"), {502}, {"stale"}),
    "giant headers": (faults.giant_headers(), {502}, {"stale"}),
    "garbage": (faults.garbage(), {502}, {"stale"}),
    "empty": (faults.garbage(b""), {502}, {"stale"}),
}


def check_error(reply, statuses):
    assert reply.status in statuses, (reply.status, reply.body)
    error = reply.error
    assert NAME in error["message"], error
    assert "anonymous" in error["message"] or "anonymous" in str(error["detail"]), error
    if reply.status == 503:
        assert int(reply.headers["retry-after"]) >= 1


@pytest.fixture(params=FAULTS)
def fault(request):
    return FAULTS[request.param]


@pytest.fixture
def serve(serve, request):
    """With less patience where the upstream is going to hang."""
    def start(upstream, **settings):
        if "hanging" in request.node.name:
            settings.setdefault("timeouts", {"firstByte": "1s", "stall": "1s"})
        return serve(upstream, **settings)
    return start


@pytest.fixture(params=["tag", "digest"])
def reference(request, image):
    return "1" if request.param == "tag" else image.digest


def test_uncached_manifest(upstream, image, serve, fault, reference):
    change, statuses, _ = fault
    server = serve(upstream)
    upstream.fail("manifests", change)
    for method in ("GET", "HEAD"):
        reply = server.manifest("team/app", reference, method=method)
        assert reply.status in statuses
    reply = server.manifest("team/app", reference)
    if reply.status == 200:
        assert reply.body == image.body
    else:
        check_error(reply, statuses | {503})   # the breaker may have opened
    upstream.heal()
    server.wait_until(lambda: server.manifest("team/app", reference).status == 200, 90)


def test_cached_manifest(upstream, image, serve, fault):
    change, _, verdicts = fault
    server = serve(upstream, manifestTTL="0s")
    server.manifest("team/app", "1")
    upstream.fail("manifests", change)
    reply = server.manifest("team/app", "1")
    assert (reply.status, reply.body) == (200, image.body)
    assert reply.cache in verdicts
    assert ("warning" in reply.headers) == (reply.cache == "stale")
    assert server.manifest("team/app", image.digest).cache == "hit"


def test_uncached_blob(upstream, image, serve, fault):
    """A blob's head may be on its way before the fault shows: then the body must not end well."""
    change, statuses, _ = fault
    layer = image.layers[1]   # 5,000 bytes
    server = serve(upstream, prefetchLayers=False)
    upstream.fail("blobs", change)
    reply = server.blob("team/app", layer)
    if reply.status == 200:
        assert not reply.complete or reply.body == image.blobs[layer]
        assert reply.complete or len(reply.body) < len(image.blobs[layer])
    else:
        check_error(reply, statuses | {502, 503, 504})
        assert reply.status in statuses or reply.status == 502
    upstream.heal()
    server.wait_until(lambda: server.blob("team/app", layer).status == 200, 90)
    assert server.blob("team/app", layer).body == image.blobs[layer]


def test_uncached_blob_that_a_manifest_lists(upstream, image, serve, fault):
    """The same, when the size is known beforehand."""
    change, _, _ = fault
    layer = image.layers[0]   # 300,000 bytes
    server = serve(upstream, prefetchLayers=False)
    server.manifest("team/app", "1")
    if change is FAULTS["slow"][0]:
        change = faults.slow(300_000)
    upstream.fail("blobs", change)
    reply = server.blob("team/app", layer)
    if reply.status == 200:
        assert not reply.complete or reply.body == image.blobs[layer]
    else:
        check_error(reply, {502, 503, 504})
    upstream.heal()
    server.wait_until(lambda: server.blob("team/app", layer).complete and
                      server.blob("team/app", layer).status == 200, 90)


def test_cached_blob(upstream, image, serve, fault):
    change, _, _ = fault
    layer = image.layers[0]
    server = serve(upstream)
    server.manifest("team/app", "1")
    server.wait_until(lambda: server.blob("team/app", layer).cache == "hit")
    upstream.fail("all", change)
    reply = server.blob("team/app", layer)
    assert (reply.status, reply.cache, reply.body) == (200, "hit", image.blobs[layer])


@pytest.mark.parametrize("kind", ["manifest", "blob"])
def test_refused(upstream, image, serve, kind):
    server = serve(upstream)
    upstream.refuse()
    ask = getattr(server, kind)
    reply = ask("team/app", "1" if kind == "manifest" else image.layers[0])
    check_error(reply, {502})
    upstream.accept()
    server.wait_until(lambda: server.pull("team/app", "1"))


@pytest.mark.parametrize("kind", ["manifest", "blob"])
def test_unresolvable(image, serve, kind):
    server = serve("http://nowhere.invalid:5000")
    ask = getattr(server, kind)
    check_error(ask("team/app", "1" if kind == "manifest" else image.layers[0]), {502, 504})


@pytest.mark.parametrize("kind", ["manifest", "blob"])
@pytest.mark.parametrize("status", [401, 403])
def test_denied(upstream, image, serve, kind, status):
    server = serve(upstream)
    upstream.fail("all", faults.status(status))
    ask = getattr(server, kind)
    reply = ask("team/app", "1" if kind == "manifest" else image.layers[0])
    assert (reply.status, reply.error["code"]) == (403, "DENIED")
    assert NAME in reply.error["message"]
    assert "www-authenticate" not in reply.headers


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_redirect_to_another_host(upstream, other, image, serve, kind):
    """Followed, with nothing of ours in hand."""
    other.repositories = upstream.repositories
    other.host = "localhost"
    upstream.fail(kind, faults.redirect_to(lambda exchange: other.url + exchange.target))
    server = serve(upstream)
    server.pull("team/app", "1")
    assert other.count(kind=kind) > 0
    assert all(exchange.authorization is None for exchange in other.exchanges)


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_redirect_to_another_host_with_a_copy(upstream, other, image, serve, kind):
    other.repositories = upstream.repositories
    server = serve(upstream, manifestTTL="0s")
    server.pull("team/app", "1")
    server.wait_until(lambda: server.blob("team/app", image.layers[0]).cache == "hit")
    upstream.fail(kind, faults.redirect_to(lambda exchange: other.url + exchange.target))
    assert server.manifest("team/app", "1").cache == "revalidated"
    assert server.blob("team/app", image.layers[0]).cache == "hit"


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("kind", ["manifest", "blob"])
def test_malicious_realm(upstream, other, image, serve, kind, cached):
    """It learns nothing. The upstream that names it talks nonsense, as one that is ill does."""
    config = {"credentials": {"robot-a": {"username": "robot", "password": "s3cr3t-pass"}}}
    server = serve(upstream, manifestTTL="0s", config=config,
                   credentials=[{"match": "**", "use": ["robot-a"]}])
    server.secrets.append("s3cr3t-pass")
    if cached:
        server.pull("team/app", "1")
        server.wait_until(lambda: server.blob("team/app", image.layers[0]).cache == "hit")
    upstream.fail("all", faults.challenge(f"{other.url}/token"))
    reply = (server.manifest("team/app", "1") if kind == "manifest"
             else server.blob("team/app", image.layers[0]))
    if cached:
        assert reply.cache == ("hit" if kind == "blob" else "stale")
    else:
        assert reply.status in (403, 502), reply
        assert NAME in reply.error["message"]
    assert [exchange for exchange in other.exchanges if exchange.authorization] == []


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect(upstream, other, image, serve, code):
    other.repositories = upstream.repositories
    upstream.fail("all", faults.redirect_to(lambda exchange: other.url + exchange.target, code))
    serve(upstream).pull("team/app", "1")


def test_relative_redirect(upstream, image, serve):
    layer = image.layers[0]
    upstream.fail("blobs", faults.redirect_to(f"/cdn/{layer}"), reference=layer)
    assert serve(upstream).blob("team/app", layer).body == image.blobs[layer]


def test_redirect_without_a_location(upstream, image, serve):
    upstream.fail("manifests", faults.status(302))
    check_error(serve(upstream).manifest("team/app", "1"), {502})


@pytest.mark.parametrize("body", [
    b"", b"{}", b"null", b"[]", b"not json", b'{"schemaVersion": 2', b"\xff\xfe",
    b"[" * 100_000,
    b'{"schemaVersion":2,"layers":[' + b"[" * 64 + b"]" * 64 + b"]}",
    b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
    b'"config":{"digest":"sha256:../../../etc/passwd","size":1},"layers":[]}',
    b'{"schemaVersion":2,"config":{"digest":"sha256:' + b"0" * 64 + b'","size":-1},"layers":[]}',
    b'{"schemaVersion":2,"config":{"digest":"sha256:' + b"0" * 64 + b'","size":1},"layers":[],'
    b'"manifests":[]}',
])
def test_manifest_that_is_none(upstream, image, serve, body):
    """Documents that cannot be read, or that are two things at once (CVE-2021-41190)."""
    server = serve(upstream)
    upstream.fail("manifests", faults.body(body))
    reply = server.manifest("team/app", "1")
    check_error(reply, {502})
    upstream.heal()
    server.wait_until(lambda: server.manifest("team/app", "1").status == 200)


def test_manifest_of_another_type_than_it_says(upstream, image, serve):
    upstream.fail("manifests", faults.header(
        "Content-Type", "application/vnd.oci.image.index.v1+json"))
    check_error(serve(upstream).manifest("team/app", "1"), {502})


def test_giant_manifest(upstream, image, serve):
    server = serve(upstream)
    for fault in (faults.giant_body(5 << 20), faults.giant_body(64 << 20)):
        upstream.fail("manifests", fault)
        check_error(server.manifest("team/app", "1"), {502})
        upstream.heal()
    assert server.peak_memory() < 400 << 20


def test_giant_manifest_in_chunks(upstream, image, serve):
    upstream.fail("manifests", faults.giant_body(64 << 20))
    upstream.fail("manifests", faults.chunked())
    check_error(serve(upstream).manifest("team/app", "1"), {502})


def test_chunked_replies(upstream, image, serve):
    upstream.fail("all", faults.chunked())
    serve(upstream).pull("team/app", "1")


@pytest.mark.parametrize("digest", ["sha256:" + "0" * 64, "sha256:zz", "", "../../x", "md5:0",
                                    "sha256:" + "A" * 64, "sha256:" + "0" * 5000])
def test_wrong_digest_header(upstream, image, serve, digest):
    """A digest in a header is believed by nobody; one that is no digest may be ignored."""
    server = serve(upstream, manifestTTL="0s")
    upstream.fail("manifests", faults.header("Docker-Content-Digest", digest))
    for _ in range(2):
        reply = server.manifest("team/app", "1")
        if reply.status == 200:
            assert reply.body == image.body and reply.digest == image.digest
        else:
            check_error(reply, {502, 503})


def test_html_with_status_200(upstream, image, serve):
    """A captive portal, a wrong port."""
    server = serve(upstream, manifestTTL="0s")
    upstream.fail("all", faults.body(b"<html>Please log in</html>", "text/html"))
    check_error(server.manifest("team/app", "1"), {502})
    upstream.heal()
    server.wait_until(lambda: server.manifest("team/app", "1").status == 200)
    upstream.fail("all", faults.body(b"<html>Please log in</html>", "text/html"))
    reply = server.manifest("team/app", "1")
    assert (reply.status, reply.cache) == (200, "stale")


def test_429_is_not_relayed_and_its_wait_is(upstream, image, serve):
    server = serve(upstream)
    upstream.fail("manifests", faults.status(429, Retry_After=57))
    reply = server.manifest("team/app", "1")
    check_error(reply, {503})
    assert 50 <= int(reply.headers["retry-after"]) <= 60
    assert "429" in reply.error["message"]


def test_rate_limit_is_exported(upstream, image, serve):
    upstream.ratelimit = (100, 76, 21600)
    server = serve(upstream)
    server.manifest("team/app", "1")
    assert server.metrics().value("registry_proxy_ratelimit_remaining", upstream=NAME,
                                  credential="anonymous") == 76


def test_pages_without_end_hold_nobody_for_long(upstream, image, serve):
    """Each page comes soon enough, and there is always another one."""
    def another_page(reply, _):
        time.sleep(1.5)
        reply.headers["Link"] = f'</v2/team/app/tags/list?last={time.monotonic()}>; rel="next"'
    upstream.fail("tags", another_page)
    reply = serve(upstream).request("GET", f"/v2/team/app/tags/list?ns={NAME}", timeout=80)
    assert reply.status == 504
    assert "tags" in reply.error["message"] and NAME in reply.error["message"]
