"""What one repository's readers may have of what was stored for another's."""

import pytest

from fakes import faults
from harness.server import NAME, settings_of

GATEWAY = "gateway.test"


@pytest.fixture
def server(upstream, other, image, serve):
    """Has team/app's blobs stored, and a second upstream."""
    server = serve(upstreams={NAME: settings_of(upstream), GATEWAY: settings_of(other)})
    server.pull("team/app", "1")
    server.wait_until(lambda: len(server.stored_blobs()) == len(image.blobs) + 1)
    return server


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_login_page_opens_nothing(server, other, image, method):
    """A gateway that answers 200 to everything has not said that a blob is there."""
    other.fail("blobs", faults.status(200, b"<html>log in</html>"))
    for _ in range(2):
        reply = server.blob("any/thing", image.layers[0], ns=GATEWAY, method=method)
        assert reply.status == 502
        assert "content-length" not in reply.headers or int(reply.headers["content-length"]) < 1000
    other.heal()
    assert server.blob("any/thing", image.layers[0], ns=GATEWAY).status == 404


def test_blob_that_the_other_upstream_has_too(server, other, image):
    other.add("any/thing", "1", image)
    reply = server.blob("any/thing", image.layers[0], ns=GATEWAY)
    assert (reply.status, reply.cache) == (200, "revalidated")
    assert other.asked("GET", "blobs") == []


def test_size_that_is_not_told_is_no_contradiction(server, other, image):
    other.add("any/thing", "1", image)
    other.fail("blobs", faults.chunked())
    assert server.blob("any/thing", image.layers[0], ns=GATEWAY).status == 200
