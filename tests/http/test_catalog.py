"""The list of repositories."""

import pytest

from fakes import images
from harness.push import Repository
from harness.server import NAME

IMAGE = images.image([10], seed="catalog")
NAMES = ["a", "a-b", "a/b", "a/b/c", "a0", "b", "team/app", "team/app2", "z_z", "zz"]


@pytest.fixture
def filled(local):
    """Repositories, pushed in an order that is none."""
    for name in reversed(NAMES):
        Repository(local, name).push(IMAGE, "1")
    return local


def catalog(server, query=""):
    response = server.get(f"/v2/_catalog{query}")
    assert response.status == 200, response
    assert response.headers["content-type"].startswith("application/json")
    return response


def pages(server, path, size=None):
    found = []
    while True:
        response = server.get(path)
        assert response.status == 200, response
        names = response.json["repositories"]
        found += names
        link = response.headers.get("link")
        if link is None:
            return found
        assert link.endswith('; rel="next"')
        assert size is None or len(names) == size
        path = link[1:link.index(">")]


def test_none(local):
    response = catalog(local)
    assert response.json == {"repositories": []}
    assert "link" not in response.headers


def test_sorted(filled):
    response = catalog(filled)
    assert response.json == {"repositories": sorted(NAMES)}
    assert "link" not in response.headers


@pytest.mark.parametrize("size", [1, 3, 9, 10, 11])
def test_in_pages(filled, size):
    assert pages(filled, f"/v2/_catalog?n={size}", size) == sorted(NAMES)


def test_after_one(filled):
    names = sorted(NAMES)
    assert catalog(filled, "?last=b").json["repositories"] == names[names.index("b") + 1:]
    assert catalog(filled, "?last=a%2Fb&n=1").json["repositories"] == ["a/b/c"]
    assert catalog(filled, "?last=a1").json["repositories"] == names[names.index("b"):]
    assert catalog(filled, "?last=zzz").json["repositories"] == []


@pytest.mark.parametrize("query", ["?n=0", "?n=999999999999", "?n=-1", "?n=x", "?n=", "?last=", "?last=%2F%2F",
                                   "?last=" + "x" * 2000, "?n=1&n=2", "?last=%F0%9F%90%8B", "?x=y"])
def test_odd_queries(filled, query):
    response = filled.get(f"/v2/_catalog{query}")
    assert response.status in (200, 400, 414), response
    if response.status == 200:
        assert set(response.json["repositories"]) <= set(NAMES)


def test_a_huge_number_costs_nothing(filled):
    before = filled.peak_memory()
    assert filled.get("/v2/_catalog?n=2000000000").status in (200, 400)
    assert filled.peak_memory() < before + (64 << 20)


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_reading_only(filled, method):
    assert filled.request(method, "/v2/_catalog", body=b"").status in (404, 405)


def test_a_blob_alone_makes_no_image(local):
    """But the name is taken or not: both are told the same way everywhere."""
    repository = Repository(local, "only/blobs")
    repository.push_blob(b"x")
    if catalog(local).json["repositories"] == ["only/blobs"]:
        assert repository.tags().status == 200
    else:
        assert catalog(local).json["repositories"] == []


def test_an_upload_that_has_only_begun_is_no_repository(local):
    Repository(local, "only/begun").begin().patch(b"x")
    assert catalog(local).json["repositories"] == []


def test_cached_images_by_the_names_they_are_pulled_with(upstream, image, serve):
    server = serve(upstream)
    server.pull("team/app", "1")
    Repository(server, "mine/app").push(IMAGE, "1")
    assert catalog(server).json["repositories"] == ["mine/app", f"{NAME}/team/app"]


def test_it_survives_a_kill_and_the_index(filled):
    filled.kill()
    filled.start()
    assert catalog(filled).json["repositories"] == sorted(NAMES)


def test_many(local):
    """More than one page holds by default is no condition for finding them all."""
    repository = Repository(local, "seed")
    repository.push(IMAGE, "1")
    names = [f"many/{number % 7}/{number:03}" for number in range(300)]
    for name in names:
        other = Repository(local, name)
        other.client = repository.client
        for digest in IMAGE.blobs:
            assert other.mount(digest, "seed").status == 201
        assert other.put_manifest("1", IMAGE.body, IMAGE.media_type).status == 201
    assert pages(local, "/v2/_catalog?n=64") == sorted([*names, "seed"])
