"""Which upstream a request means."""

import pytest

from fakes import images
from harness.server import NAME, settings_of


def assert_unknown(response):
    assert (response.status, response.error["code"]) == (404, "NAME_UNKNOWN"), response


def test_by_ns(upstream, image, serve):
    response = serve(upstream).get(f"/v2/team/app/manifests/1?ns={NAME}")
    assert (response.status, response.body) == (200, image.body)
    assert response.headers["oci-namespace"] == NAME


def test_by_host(upstream, image, serve):
    response = serve(upstream).get("/v2/team/app/manifests/1", Host=NAME)
    assert (response.status, response.body) == (200, image.body)
    assert response.headers["oci-namespace"] == NAME


def test_by_path(upstream, image, serve):
    response = serve(upstream).get(f"/v2/{NAME}/team/app/manifests/1")
    assert (response.status, response.body) == (200, image.body)
    assert response.headers["oci-namespace"] == NAME


def test_bare_name_means_the_default_upstream(upstream, image, serve):
    server = serve(upstream, config={"proxy": {"defaultUpstream": NAME}})
    assert server.get("/v2/team/app/manifests/1").body == image.body


def test_bare_name_without_a_default(upstream, image, serve):
    assert_unknown(serve(upstream).get("/v2/team/app/manifests/1"))
    assert upstream.exchanges == []


@pytest.mark.parametrize("path, headers", [
    ("/v2/team/app/manifests/1?ns=alias.test", {}),
    ("/v2/team/app/manifests/1?ns=ALIAS.test", {}),
    ("/v2/alias.test/team/app/manifests/1", {}),
    ("/v2/team/app/manifests/1", {"Host": "alias.test"}),
])
def test_an_alias_is_the_same_registry(upstream, image, serve, path, headers):
    server = serve(upstream, aliases=["alias.test"])
    assert server.manifest("team/app", "1").cache == "miss"
    response = server.get(path, **headers)
    assert (response.status, response.cache) == (200, "hit")
    assert upstream.count("GET", "manifests") == 1


def test_all_ways_lead_to_one_copy(upstream, image, serve):
    server = serve(upstream, config={"proxy": {"defaultUpstream": NAME}})
    ways = [server.get(f"/v2/team/app/manifests/1?ns={NAME}"),
            server.get("/v2/team/app/manifests/1", Host=NAME),
            server.get(f"/v2/{NAME}/team/app/manifests/1"),
            server.get("/v2/team/app/manifests/1")]
    assert [way.cache for way in ways] == ["miss", "hit", "hit", "hit"]
    assert {way.body for way in ways} == {image.body}


@pytest.mark.parametrize("ns", ["unknown.test", "127.0.0.1", "", "%20", "up.test%00", "a" * 300,
                                "up.test/x", "http://up.test", "..", "up..test"])
def test_unknown_ns_is_nobody(upstream, image, serve, ns):
    server = serve(upstream, config={"proxy": {"defaultUpstream": "up.test"}})
    response = server.get(f"/v2/team/app/manifests/1?ns={ns}")
    if ns == "" and response.status == 200:
        return   # an empty ns may as well be none
    assert response.status in (400, 404), response
    assert response.error["code"] in ("NAME_UNKNOWN", "NAME_INVALID", "UNSUPPORTED")
    assert upstream.exchanges == []


def test_ns_is_never_dialled(upstream, other, image, serve):
    other.add("team/app", "1", images.image(seed=7))
    server = serve(upstream)
    for ns in (f"127.0.0.1:{other.port}", f"localhost:{other.port}"):
        assert_unknown(server.get(f"/v2/team/app/manifests/1?ns={ns}"))
        assert_unknown(server.get(f"/v2/{ns}/team/app/manifests/1"))
    assert other.exchanges == []


def test_ns_goes_before_host(upstream, other, image, serve):
    other.add("team/app", "1", images.image(seed=7))
    server = serve(upstreams={NAME: settings_of(upstream), "other.test": settings_of(other)})
    assert server.get(f"/v2/team/app/manifests/1?ns={NAME}", Host="other.test").body == image.body


def test_the_same_name_at_two_upstreams(upstream, other, image, serve):
    theirs = other.add("team/app", "1", images.image(seed=7))
    server = serve(upstreams={NAME: settings_of(upstream), "other.test": settings_of(other)})
    for _ in range(2):
        assert server.manifest("team/app", "1").body == image.body
        assert server.manifest("team/app", "1", ns="other.test").body == theirs.body
        assert server.get("/v2/other.test/team/app/manifests/1").body == theirs.body


def test_a_host_with_a_port_can_be_an_upstream(upstream, image, serve):
    server = serve(upstreams={"up.test:5000": settings_of(upstream)})
    assert server.manifest("team/app", "1", ns="up.test:5000").status == 200
    assert server.get("/v2/up.test:5000/team/app/manifests/1").status == 200


def test_deep_and_long_names(upstream, serve):
    name = "/".join(["a-b_c.d__e"] * 20)
    image = upstream.add(name, "v1.0_2-x", images.image(seed=1))
    server = serve(upstream)
    assert server.manifest(name, "v1.0_2-x").body == image.body


def test_a_repository_called_like_the_api(upstream, serve):
    image = upstream.add("blobs/manifests/tags", "list", images.image(seed=1))
    assert serve(upstream).manifest("blobs/manifests/tags", "list").body == image.body


def test_denied_repositories_are_not_asked_for(upstream, image, serve):
    upstream.add("secret/app", "1", images.image(seed=3))
    server = serve(upstream, allow=["team/**", "secret/**"], deny=["secret/**"],
                   prefetchLayers=False)
    assert server.manifest("team/app", "1").status == 200
    upstream.forget()
    for name in ("secret/app", "else/where"):
        for response in (server.manifest(name, "1"), server.blob(name, image.layers[0])):
            assert (response.status, response.error["code"]) == (403, "DENIED"), response
    assert upstream.exchanges == []


@pytest.mark.parametrize("method, path", [
    ("PUT", "/v2/team/app/manifests/1"),
    ("POST", "/v2/team/app/blobs/uploads/"),
    ("PATCH", "/v2/team/app/blobs/uploads/x"),
    ("DELETE", "/v2/team/app/blobs/sha256:" + "0" * 64),
])
def test_nobody_pushes_into_an_upstream(upstream, image, serve, method, path):
    server = serve(upstream)
    response = server.request(method, f"{path}?ns={NAME}", body=b"{}")
    assert (response.status, response.error["code"]) in ((403, "DENIED"), (405, "UNSUPPORTED"))
    assert [asked for asked in upstream.exchanges if asked.method not in ("GET", "HEAD")] == []
    assert server.manifest("team/app", "1").body == image.body
