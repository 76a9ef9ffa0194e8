"""Black-box tests: a Breakwater process, a faulty upstream, real sockets.

`upstream` is a fake registry, `serve` starts a Breakwater in front of it:

    def test_x(upstream, serve):
        image = upstream.add("team/app", "1", images.image())
        server = serve(upstream, manifestTTL="0s")
        assert server.manifest("team/app", "1").cache == "miss"

At a test's end every server must stop cleanly on SIGTERM, and its log must be
JSON without a secret in it.
"""

import subprocess

import pytest

from fakes import images
from fakes.upstream import Upstream
from harness.push import Repository
from harness.server import BINARY, NAME, Breakwater, settings_of


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server


@pytest.fixture
def other():
    """A second upstream, mirror, token service or thief."""
    with Upstream() as server:
        yield server


@pytest.fixture
def image(upstream):
    """team/app:1 at the upstream, with two layers."""
    return upstream.add("team/app", "1", images.image([300_000, 5_000]))


@pytest.fixture
def serve(tmp_path):
    """serve(upstream, **settings) or serve(upstreams={...}); config={...} is laid over it."""
    servers = []

    def start(upstream=None, upstreams=None, config=None, environment=None, running=True, **settings):
        if upstreams is None:
            upstreams = {NAME: settings_of(upstream, **settings)}
        server = Breakwater(tmp_path / f"server-{len(servers)}", upstreams, config, environment)
        servers.append(server)
        return server.start() if running else server

    yield start
    problems = []
    for server in servers:
        try:
            code = server.stop()
            assert code == 0, f"exit code {code}"
            server.check_log()
        except AssertionError as problem:
            problems.append(str(problem))
        print(f"--- {server.stderr_file}\n{server.stderr()[-8000:]}")
    assert not problems, "\n".join(problems)


@pytest.fixture
def local(serve):
    """A server without upstreams: a registry to push to."""
    return serve(upstreams={})


@pytest.fixture
def repository(local):
    """Its team/app."""
    repository = Repository(local, "team/app")
    yield repository
    repository.close()


@pytest.fixture
def command(tmp_path):
    """Runs a breakwater command to its end."""
    def run(*arguments, environment=None, timeout=30):
        return subprocess.run([BINARY, *map(str, arguments)], cwd=tmp_path, env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout, check=False)
    return run
