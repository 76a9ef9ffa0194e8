"""Credentials for upstreams: used where they belong, and shown to nobody else."""

import base64

import pytest

from fakes import faults, images
from fakes.upstream import BasicAuth, BearerAuth, Upstream
from harness.server import NAME, in_parallel, merged, settings_of

USERS = {"robot": "pa55-w0rd:with/colon"}
CREDENTIALS = {"robot-a": {"username": "robot", "password": USERS["robot"]}}
USE = [{"match": "**", "use": ["robot-a"]}]
BASIC = base64.b64encode(b"robot:pa55-w0rd:with/colon").decode()


@pytest.fixture
def log_in(serve):
    """serve(), with the credential; and neither form of it may appear in the log."""
    def start(upstream, **settings):
        config = merged({"credentials": CREDENTIALS}, settings.pop("config", {}))
        server = serve(upstream, config=config, **{"credentials": USE, **settings})
        server.secrets += [USERS["robot"], BASIC, "token-"]
        return server
    return start


def saw_a_secret(server):
    return [exchange for exchange in server.exchanges
            if exchange.authorization or USERS["robot"] in exchange.target or BASIC in exchange.target]


def test_basic(upstream, image, log_in):
    upstream.auth = BasicAuth(USERS)
    log_in(upstream).pull("team/app", "1")


def test_anonymous_bearer(upstream, image, serve):
    upstream.auth = BearerAuth()
    serve(upstream).pull("team/app", "1")
    assert all(asked.authorization is None for asked in upstream.asked(kind="token"))


def test_bearer(upstream, image, log_in):
    upstream.auth = BearerAuth(USERS, anonymous=False, private=["team/app"])
    log_in(upstream).pull("team/app", "1")


@pytest.mark.parametrize("settings", [{"key": "access_token"}, {"with_expiry": False},
                                      {"expires_in": 3600}, {"service": "a b&c=d"}])
def test_token_services_differ(upstream, image, log_in, settings):
    upstream.auth = BearerAuth(USERS, anonymous=False, **settings)
    log_in(upstream).pull("team/app", "1")


def test_one_token_for_many_requests(upstream, image, log_in):
    upstream.auth = BearerAuth(USERS, anonymous=False)
    server = log_in(upstream, manifestTTL="0s")
    for _ in range(5):
        server.pull("team/app", "1")
    assert upstream.count(kind="token") == 1


def test_one_token_for_many_clients_at_once(upstream, log_in):
    upstream.auth = BearerAuth(USERS, anonymous=False)
    for number in range(20):
        upstream.add("team/app", f"t{number}", images.image(seed=number))
    server = log_in(upstream, prefetchLayers=False)
    replies = in_parallel([lambda number=number: server.manifest("team/app", f"t{number}")
                           for number in range(20)])
    assert {reply.status for reply in replies} == {200}
    assert upstream.count(kind="token") == 1


def test_a_token_opens_one_repository(upstream, image, log_in):
    upstream.add("team/other", "1", images.image(seed=2))
    upstream.auth = BearerAuth(USERS, anonymous=False)
    server = log_in(upstream)
    server.pull("team/app", "1")
    server.pull("team/other", "1")
    scopes = {asked.query["scope"] for asked in upstream.asked(kind="token")}
    assert scopes == {"repository:team/app:pull", "repository:team/other:pull"}


def test_a_refused_token_is_replaced(upstream, image, log_in):
    upstream.auth = BearerAuth(USERS, anonymous=False)
    server = log_in(upstream, manifestTTL="0s")
    server.manifest("team/app", "1")
    upstream.auth.revoke()
    assert server.manifest("team/app", "1").cache == "revalidated"


def test_expired_tokens_are_not_used(upstream, image, log_in):
    upstream.auth = BearerAuth(USERS, anonymous=False, expires_in=1)
    server = log_in(upstream, manifestTTL="0s")
    for _ in range(5):
        assert server.manifest("team/app", "1").status == 200


def test_wrong_password(upstream, image, log_in):
    upstream.auth = BearerAuth({"robot": "another"}, anonymous=False)
    server = log_in(upstream)
    for _ in range(10):
        reply = server.manifest("team/app", "1")
        assert (reply.status, reply.error["code"]) == (403, "DENIED")
        assert "robot-a" in reply.error["message"] and NAME in reply.error["message"]
        assert USERS["robot"] not in reply.body.decode()
    # A registry locks the account out after a few: one failed login is enough.
    assert upstream.count(kind="token") <= 3


def test_wrong_basic_password(upstream, image, log_in):
    upstream.auth = BasicAuth({"robot": "another"})
    server = log_in(upstream)
    for _ in range(10):
        assert server.manifest("team/app", "1").status == 403
    assert len([asked for asked in upstream.exchanges if asked.authorization]) <= 3


def test_private_without_a_credential(upstream, image, serve):
    upstream.auth = BearerAuth(USERS, private=["team/app"])
    reply = serve(upstream).manifest("team/app", "1")
    assert (reply.status, reply.error["code"]) == (403, "DENIED")
    assert "anonymous" in reply.error["message"]


def test_longest_match_decides(upstream, log_in):
    upstream.auth = BearerAuth({"robot": USERS["robot"], "special": "special-secret"},
                               private=["acme/app", "acme/deep/app"])
    for name in ("acme/app", "acme/deep/app", "public/app"):
        upstream.add(name, "1", images.image(seed=len(name)))
    server = log_in(upstream, credentials=[
        {"match": "**", "use": ["anonymous"]}, {"match": "acme/**", "use": ["robot-a"]},
        {"match": "acme/deep/**", "use": ["special"]}],
        config={"credentials": {"special": {"username": "special", "password": "special-secret"}}})
    server.secrets.append("special-secret")
    for name in ("acme/app", "acme/deep/app", "public/app"):
        assert server.manifest(name, "1").status == 200
    sent = {asked.query["scope"].split(":")[1]: asked.authorization
            for asked in upstream.asked(kind="token")}
    assert sent["public/app"] is None
    assert base64.b64decode(sent["acme/app"].split(" ")[1]).startswith(b"robot:")
    assert base64.b64decode(sent["acme/deep/app"].split(" ")[1]).startswith(b"special:")


def test_password_from_a_file_is_read_again_on_reload(upstream, image, log_in, tmp_path):
    import signal
    upstream.auth = BasicAuth(USERS)
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    server = log_in(upstream, config={
        "credentials": {"robot-a": {"password": None, "passwordFile": str(secret)}}})
    assert server.manifest("team/app", "1").status == 403
    secret.write_text(USERS["robot"] + "\n")
    server.signal(signal.SIGHUP)
    server.wait_until(lambda: server.manifest("team/app", "1").status == 200)


# To nobody else

@pytest.mark.parametrize("auth", [BasicAuth(USERS), BearerAuth(USERS, anonymous=False)])
def test_not_to_where_a_blob_is_redirected(upstream, other, image, log_in, auth):
    upstream.auth = auth
    other.repositories = upstream.repositories
    upstream.blobs_at = other
    log_in(upstream).pull("team/app", "1")
    assert other.count(kind="cdn") == 3
    assert saw_a_secret(other) == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_not_to_another_name_or_port(upstream, other, image, log_in, host):
    upstream.auth = BasicAuth(USERS)
    other.repositories, other.host = upstream.repositories, host
    for kind in ("manifests", "blobs"):
        upstream.fail(kind, faults.redirect_to(lambda exchange: other.url + exchange.target))
    server = log_in(upstream)
    server.manifest("team/app", "1")
    server.blob("team/app", image.layers[0])
    assert saw_a_secret(other) == []


def test_not_to_a_foreign_realm(upstream, other, image, log_in):
    """CVE-2026-33540."""
    other.auth = BearerAuth(USERS)
    upstream.fail("all", faults.challenge(f"{other.url}/token"))
    server = log_in(upstream)
    for reply in (server.manifest("team/app", "1"), server.blob("team/app", image.layers[0])):
        assert reply.status in (403, 502)
        assert NAME in reply.error["message"]
    assert saw_a_secret(other) == []


@pytest.mark.parametrize("realm", [
    "http://{host}:{port}@127.0.0.1:{other}/token", "http://127.0.0.1:{port}.evil.test/token",
    "http://127.0.0.1:{other}/token#http://{host}:{port}/", "//127.0.0.1:{other}/token",
    "http://127.0.0.1:{other}\\@{host}:{port}/token", "file:///etc/passwd", "", "ftp://{host}:{port}/",
    "http://[::1]:{other}/token", "HTTP://127.0.0.1:{other}/token", "http:127.0.0.1:{other}"])
def test_not_to_a_realm_that_plays_with_its_spelling(upstream, other, image, log_in, realm):
    other.auth = BearerAuth(USERS)
    value = realm.format(host=upstream.host, port=upstream.port, other=other.port)
    upstream.fail("all", faults.challenge(value))
    assert log_in(upstream).manifest("team/app", "1").status in (403, 502)
    assert saw_a_secret(other) == []


def test_basic_challenge_of_a_redirected_host_gets_nothing(upstream, other, image, log_in):
    other.auth = BasicAuth(USERS)
    upstream.fail("blobs", faults.redirect_to(lambda exchange: other.url + exchange.target))
    reply = log_in(upstream).blob("team/app", image.layers[0])
    assert reply.status in (403, 502)
    assert saw_a_secret(other) == []


def test_redirected_token_request_does_not_carry_the_password(upstream, other, image, log_in):
    upstream.auth = BearerAuth(USERS, anonymous=False)
    other.auth = BearerAuth(USERS)
    upstream.fail("token", faults.redirect_to(lambda exchange: other.url + exchange.target))
    log_in(upstream).manifest("team/app", "1")
    assert saw_a_secret(other) == []


def test_to_a_realm_that_is_allowed(upstream, other, image, log_in):
    auth = BearerAuth(USERS, anonymous=False, realm=f"{other.url}/token")
    upstream.auth = other.auth = auth
    log_in(upstream, tokenRealms=[other.url]).pull("team/app", "1")
    assert other.count(kind="token") == 1


def test_anonymous_token_from_a_realm_that_is_not_listed(upstream, other, image, serve):
    """Whether it is asked or not: what comes of it is an answer, not a hang or a crash."""
    auth = BearerAuth(realm=f"{other.url}/token")
    upstream.auth = other.auth = auth
    assert serve(upstream).manifest("team/app", "1").status in (200, 403, 502)


def test_each_upstream_gets_its_own(upstream, other, image, serve):
    other.add("team/app", "1", images.image(seed=3))
    upstream.auth, other.auth = BasicAuth({"one": "secret-one"}), BasicAuth({"two": "secret-two"})
    server = serve(
        upstreams={
            NAME: settings_of(upstream, credentials=[{"match": "**", "use": ["first"]}]),
            "other.test": settings_of(other, credentials=[{"match": "**", "use": ["second"]}])},
        config={"credentials": {"first": {"username": "one", "password": "secret-one"},
                                "second": {"username": "two", "password": "secret-two"}}})
    server.secrets += ["secret-one", "secret-two"]
    server.pull("team/app", "1")
    server.pull("team/app", "1", ns="other.test")
    for fake, name in ((upstream, b"one:"), (other, b"two:")):
        sent = {asked.authorization for asked in fake.exchanges if asked.authorization}
        assert len(sent) == 1 and base64.b64decode(sent.pop().split(" ")[1]).startswith(name)


def test_a_clients_authorization_goes_nowhere(upstream, image, serve):
    server = serve(upstream)
    server.secrets.append("Y2xpZW50OnNlY3JldA==")
    for value in ("Basic Y2xpZW50OnNlY3JldA==", "Bearer Y2xpZW50OnNlY3JldA=="):
        server.manifest("team/app", "1", Authorization=value)
        server.blob("team/app", image.layers[0], Authorization=value)
    assert [asked for asked in upstream.exchanges if asked.authorization] == []


def test_token_service_down(upstream, other, image, log_in):
    auth = BearerAuth(USERS, anonymous=False, realm=f"{other.url}/token")
    upstream.auth = other.auth = auth
    server = log_in(upstream, tokenRealms=[other.url], manifestTTL="0s", prefetchLayers=False)
    server.manifest("team/app", "1")
    auth.revoke()
    other.refuse()
    reply = server.manifest("team/app", "1")
    assert (reply.status, reply.cache) == (200, "stale")
    reply = server.manifest("team/app", "none")
    assert reply.status in (502, 503)
    assert "robot-a" in reply.error["message"]


@pytest.mark.parametrize("fault", [
    faults.hang(), faults.status(500), faults.status(429), faults.body(b"{}"), faults.body(b"nonsense"),
    faults.body(b'{"token": 5}'), faults.body(b'{"token": "a\\r\\nX-Injected: b"}'),
    faults.giant_body(8 << 20), faults.body(b'{"token": "' + b"t" * 100_000 + b'"}'),
    faults.body(b'{"token": ""}'), faults.garbage(), faults.redirect_forever()])
def test_odd_token_services(upstream, image, log_in, fault):
    upstream.auth = BearerAuth(USERS, anonymous=False)
    upstream.fail("token", fault)
    reply = log_in(upstream).manifest("team/app", "1")
    assert reply.status in (403, 502, 503, 504)
    assert NAME in reply.error["message"]
    assert not any("x-injected" in asked.headers for asked in upstream.exchanges)


@pytest.mark.parametrize("challenge", [
    "", "Negotiate", "Bearer", "Bearer realm=", 'Bearer realm="', "Bearer " + "a" * 20_000,
    'Bearer realm="http://127.0.0.1:1/",' * 50, "Basic", "Digest realm=\"x\"", '"', ",,,", "=",
    'Bearer realm="\\"', "\x01"])
def test_odd_challenges(upstream, image, serve, challenge):
    upstream.fail("all", faults.status(401, WWW_Authenticate=challenge))
    reply = serve(upstream).manifest("team/app", "1")
    assert reply.status in (403, 502)


# TLS

@pytest.fixture
def secure():
    with Upstream(tls=True) as server:
        server.add("team/app", "1", images.image([100_000]))
        yield server


def test_tls_with_its_authority(secure, serve):
    serve(secure, tls={"caFile": secure.ca_file}).pull("team/app", "1")


def test_tls_without(secure, serve):
    reply = serve(secure).manifest("team/app", "1")
    assert reply.status == 502 and NAME in reply.error["message"]
    assert "certificate" in reply.error["message"].lower() or "ssl" in reply.error["message"].lower()
    assert secure.exchanges == []


def test_tls_unverified_when_told_so(secure, serve):
    serve(secure, tls={"insecureSkipVerify": True}).pull("team/app", "1")


def test_tls_is_verified_for_the_token_service_too(secure, other, serve):
    """CVE-2019-10214."""
    with Upstream(tls=True) as tokens:
        tokens.auth = BearerAuth(USERS)
        secure.auth = BearerAuth(USERS, realm=f"{tokens.url}/token")
        server = serve(secure, tls={"caFile": secure.ca_file}, tokenRealms=[tokens.url],
                       config={"credentials": CREDENTIALS}, credentials=USE)
        assert server.manifest("team/app", "1").status in (403, 502)
        assert saw_a_secret(tokens) == []


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_https_is_never_left_for_http(secure, other, serve, kind):
    other.repositories = secure.repositories
    secure.fail(kind, faults.redirect_to(lambda exchange: other.url + exchange.target))
    server = serve(secure, tls={"caFile": secure.ca_file})
    image = secure.repositories["team/app"].manifests[secure.repositories["team/app"].tags["1"]]
    reply = (server.manifest("team/app", "1") if kind == "manifests"
             else server.blob("team/app", image.layers[0]))
    assert reply.status == 502
    assert other.exchanges == []
