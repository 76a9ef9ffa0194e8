"""What was pushed and what is cached, side by side: whose a name is."""

import pytest

from fakes import images
from fakes.images import digest_of
from harness.push import Repository, Upload
from harness.server import NAME, settings_of

MINE = images.image([500], seed="mine")
BODY = b"content"
DIGEST = digest_of(BODY)


def pushes(server, name, query="", headers=None):
    """What every request of a push is answered with."""
    headers = headers or {}
    separator = "&" if query else "?"
    answers = {}
    with server.client() as client:
        def ask(what, method, path, body=b""):
            answers[what] = client.request(method, path, headers, body)
        uploads = f"/v2/{name}/blobs/uploads"
        ask("post", "POST", f"{uploads}/{query}")
        ask("whole", "POST", f"{uploads}/{query}{separator}digest={DIGEST}", BODY)
        ask("mount", "POST", f"{uploads}/{query}{separator}mount={DIGEST}")
        ask("patch", "PATCH", f"{uploads}/x{query}", BODY)
        ask("finish", "PUT", f"{uploads}/x{query}{separator}digest={DIGEST}", BODY)
        ask("manifest", "PUT", f"/v2/{name}/manifests/1{query}", MINE.body)
    return answers


def assert_denied(answers):
    for what, response in answers.items():
        assert (response.status, response.error["code"]) == (403, "DENIED"), (what, response)


@pytest.fixture
def server(upstream, image, serve):
    return serve(upstream, aliases=["alias.test"])


@pytest.fixture
def default(upstream, image, serve):
    """Bare names mean the upstream."""
    return serve(upstream, config={"proxy": {"defaultUpstream": NAME}})


def assert_only_read(upstream):
    assert {asked.method for asked in upstream.exchanges} <= {"GET", "HEAD"}


@pytest.mark.parametrize("name, query, headers", [
    (f"{NAME}/team/app", "", {}),
    (f"{NAME}/new/repository", "", {}),
    ("alias.test/team/app", "", {}),
    ("team/app", f"?ns={NAME}", {}),
    ("team/app", "?ns=alias.test", {}),
    ("team/app", "?ns=UP.test", {}),
    ("team/app", "", {"Host": NAME}),
    ("team/app", "", {"Host": "alias.test"}),
])
def test_nobody_pushes_into_an_upstream(upstream, image, server, name, query, headers):
    assert_denied(pushes(server, name, query, headers))
    assert server.manifest("team/app", "1").body == image.body
    assert_only_read(upstream)


@pytest.mark.parametrize("name", [
    "registry.example/app", "quay.io/team/app", "localhost/app", "localhost:5000/app",
    "127.0.0.1/app", "127.0.0.1:5000/team/app", "a.b/c"])
def test_nobody_pushes_under_a_name_that_reads_like_a_registry(upstream, server, name):
    """It must not become an upstream's content when that upstream is configured later."""
    for what, response in pushes(server, name).items():
        assert response.status in (400, 403), (what, response)
        assert response.error["code"] in ("DENIED", "NAME_INVALID"), (what, response)
    assert upstream.exchanges == []


@pytest.mark.parametrize("name", ["a.b", "registry.example", "localhost", "team/a.b", "team/localhost"])
def test_names_that_only_have_dots_are_names(server, name):
    """A registry's name is the first of several parts."""
    repository = Repository(server, name)
    repository.push(MINE, "1")
    repository.assert_pulls(MINE, "1")


@pytest.mark.parametrize("name", ["Team/app", "team//app", "-team", "team-", "a..b", "a___b", "_a",
                                  "a/" * 130 + "a", "a" * 256, "te%20am", "team%2fapp", "%2e%2e/x"])
def test_names_that_are_none(server, name):
    for what, response in pushes(server, name).items():
        assert response.status in (400, 404), (what, response)


def test_a_name_of_the_longest_kind(server):
    name = "/".join(["a" * 63] * 3 + ["b" * 63])
    assert len(name) == 255
    repository = Repository(server, name)
    repository.push(MINE, "t" * 128)
    repository.assert_pulls(MINE, "t" * 128)
    assert repository.tags().json["tags"] == ["t" * 128]
    assert repository.delete_manifest("t" * 128).status == 202


@pytest.mark.parametrize("name", ["blobs/uploads", "manifests", "blobs", "tags/list", "uploads",
                                  "a/blobs/uploads", "referrers/x", "v2"])
def test_repositories_called_like_the_api(server, name):
    repository = Repository(server, name)
    repository.push(MINE, "latest")
    repository.assert_pulls(MINE, "latest")
    assert repository.tags().json["tags"] == ["latest"]


def test_a_pushed_name_goes_before_the_default_upstream(upstream, image, default):
    assert default.get("/v2/team/app/manifests/1").body == image.body
    repository = Repository(default, "team/app")
    repository.push(MINE, "1")
    repository.assert_pulls(MINE, "1")
    assert repository.manifest("1").cache == "local"
    # what the upstream has is found where the upstream is named
    assert default.manifest("team/app", "1").body == image.body
    assert default.get(f"/v2/{NAME}/team/app/manifests/1").body == image.body
    assert_only_read(upstream)


def test_a_pushed_name_is_not_mixed_with_the_upstreams(upstream, image, default):
    """Another tag of it is not looked for there."""
    repository = Repository(default, "team/app")
    repository.push(MINE, "mine")
    assert repository.manifest("1").status == 404
    assert repository.manifest(image.digest).status == 404
    assert repository.blob(image.layers[0]).status == 404
    assert repository.tags().json["tags"] == ["mine"]
    assert upstream.exchanges == []


def test_a_name_nobody_pushed_is_the_default_upstreams(upstream, image, default):
    Repository(default, "team/other").push(MINE, "1")
    Repository(default, "team").push(MINE, "1")
    assert default.get("/v2/team/app/manifests/1").body == image.body


def test_an_upload_alone_does_not_take_a_name_away(upstream, image, default):
    upload = Repository(default, "team/app").begin()
    assert upload.patch(b"x").status == 202
    assert default.get("/v2/team/app/manifests/1").body == image.body


def test_a_restart_changes_nobodys_name(upstream, image, default):
    repository = Repository(default, "team/app")
    repository.push(MINE, "1")
    default.restart()
    repository.close()
    repository.assert_pulls(MINE, "1")
    assert default.manifest("team/app", "1").body == image.body


def test_the_same_name_here_and_there(upstream, other, image, serve):
    theirs = other.add("team/app", "1", images.image(seed=7))
    server = serve(upstreams={NAME: settings_of(upstream), "other.test": settings_of(other)})
    Repository(server, "team/app").push(MINE, "1")
    assert server.manifest("team/app", "1").body == image.body
    assert server.manifest("team/app", "1", ns="other.test").body == theirs.body
    Repository(server, "team/app").assert_pulls(MINE, "1")
    assert server.get("/v2/_catalog").json["repositories"] == [
        "other.test/team/app", "team/app", f"{NAME}/team/app"]


def test_ns_that_is_nobodys(server):
    """Neither a local repository nor an upstream."""
    for response in pushes(server, "team/app", "?ns=unknown.test").values():
        assert response.status in (400, 403, 404), response


def test_what_was_pushed_needs_no_upstream(upstream, image, serve):
    upstream.refuse()
    server = serve(upstream, config={"proxy": {"defaultUpstream": NAME}})
    repository = Repository(server, "team/mine")
    repository.push(MINE, "1")
    repository.assert_pulls(MINE, "1")
    assert upstream.exchanges == []


def test_a_blob_the_cache_has_is_stored_once(upstream, image, serve):
    server = serve(upstream)
    server.pull("team/app", "1")
    server.wait_until(lambda: server.metrics().value("registry_proxy_fills_in_flight") == 0)
    stored = len(server.stored_blobs())
    Repository(server, "mine/app").push(image, "1")
    assert len(server.stored_blobs()) == stored
    Repository(server, "mine/app").assert_pulls(image, "1")


def test_pushed_blobs_are_not_served_as_an_upstreams(upstream, image, server):
    """Only because the bytes are here they are not in everybody's repository."""
    secret = Repository(server, "secret/app")
    digest = secret.push_blob(b"secret")
    assert server.blob("team/app", digest).status == 404
    assert Repository(server, "public/app").blob(digest).status == 404
    assert Repository(server, "public/app").manifest(digest).status == 404


def test_an_upload_belongs_to_the_local_name(server):
    upload = Repository(server, "team/app").begin()
    with server.client() as client:
        for location in (upload.location.replace("/v2/team", f"/v2/{NAME}/team"),
                         upload.location + f"&ns={NAME}"):
            response = Upload(client, location).patch(b"x")
            assert response.status in (403, 404), response
    assert upload.offset == 0
