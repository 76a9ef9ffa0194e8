"""Real clients against Breakwater, with Debian's docker-registry as its upstream."""

import shutil
import tempfile
from pathlib import Path

import pytest

from fakes import images
from harness.registry import Registry
from harness.server import Breakwater, settings_of

HELLO = "hello through the breakwater"
NAME = "registry.test"


@pytest.fixture(scope="session")
def hello():
    """An image that says hello, made of Debian's static busybox."""
    files = {"bin/busybox": Path("/bin/busybox").read_bytes(), "pad": images.random_bytes(3 << 20, "pad")}
    return images.runnable(files, ["/bin/busybox", "echo", HELLO])


@pytest.fixture
def short_path():
    """Sockets, and podman's own folders, may have paths of some fifty characters only."""
    folder = Path(tempfile.mkdtemp(prefix="bw-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def registry(tmp_path, hello):
    """A docker-registry with team/hello:1 and library/hello:latest."""
    registry = Registry(tmp_path / "registry").start()
    registry.push("team/hello", "1", hello)
    registry.push("library/hello", "latest", hello)
    yield registry
    registry.stop()


@pytest.fixture
def breakwater(tmp_path, registry):
    """In front of it: as registry.test, and as docker.io, which bare names mean."""
    server = Breakwater(tmp_path / "breakwater", {
        NAME: settings_of(registry, manifestTTL="0s"),
        "docker.io": settings_of(registry, manifestTTL="0s"),
    }, {"proxy": {"defaultUpstream": "docker.io"}})
    server.start()
    yield server
    code = server.stop()
    print(server.stderr()[-8000:])
    assert code == 0
    server.check_log()


@pytest.fixture
def outage(registry, breakwater):
    """Call it: the registry goes away, once everything that was begun is stored."""
    def begin():
        breakwater.wait_until(
            lambda: breakwater.metrics().value("registry_proxy_fills_in_flight") == 0)
        registry.stop()
    return begin
