"""Pull and run a container, twice: the second time the upstream is gone, and so is
everything that the client had kept."""

import json

import pytest

from e2e.engines import Containerd, Dockerd, Failed, Podman, run, skopeo_copy, skopeo_inspect

HELLO = "hello through the breakwater"
NAME = "registry.test"


def address(server):
    return f"127.0.0.1:{server.port}"


def pull_run_and_survive(engine, image, outage):
    """The story of this project in six lines."""
    engine.pull(image)
    assert HELLO in engine.run(image)
    engine.remove(image)
    outage()
    engine.pull(image)
    assert HELLO in engine.run(image)
    engine.remove(image)


@pytest.fixture
def containerd(short_path):
    with Containerd(short_path / "containerd") as engine:
        yield engine


def test_containerd(containerd, breakwater, outage):
    containerd.mirror(NAME, f"http://{address(breakwater)}")
    pull_run_and_survive(containerd, f"{NAME}/team/hello:1", outage)
    assert breakwater.metrics().value("registry_proxy_stale_served_total", upstream=NAME) > 0


def test_containerd_with_one_file_for_every_registry(containerd, breakwater, outage):
    """The snippet that client-config prints, as it is printed."""
    said = run(breakwater.binary, "client-config", "containerd", "--config", breakwater.config_file)
    folder = containerd.hosts / "_default"
    folder.mkdir(parents=True)
    toml = "\n".join(line for line in said.splitlines()
                     if line.startswith(("[host", "  capabilities", "server")))
    (folder / "hosts.toml").write_text(toml + "\n")
    pull_run_and_survive(containerd, f"{NAME}/team/hello:1", outage)


def test_containerd_asks_for_docker_hub_with_its_library(containerd, breakwater, outage):
    containerd.mirror("docker.io", f"http://{address(breakwater)}")
    pull_run_and_survive(containerd, "docker.io/library/hello:latest", outage)


def test_containerd_by_digest(containerd, breakwater, hello, outage):
    containerd.mirror(NAME, f"http://{address(breakwater)}")
    pull_run_and_survive(containerd, f"{NAME}/team/hello@{hello.digest}", outage)


def test_containerd_goes_on_to_the_registry(containerd, breakwater, registry):
    """What the cache does not know (404) is asked of the registry itself."""
    containerd.mirror("other.test", f"http://{address(breakwater)}", server=registry.url)
    assert "done" in containerd.pull("other.test/team/hello:1")


def test_containerd_image_that_is_nowhere(containerd, breakwater, registry):
    containerd.mirror(NAME, f"http://{address(breakwater)}", server=registry.url)
    with pytest.raises(Failed, match="not found"):
        containerd.pull(f"{NAME}/team/none:1")


def test_dockerd(short_path, breakwater, outage):
    with Dockerd(short_path / "dockerd", f"http://{address(breakwater)}") as engine:
        pull_run_and_survive(engine, "hello", outage)
    metrics = breakwater.metrics()
    assert metrics.value("registry_proxy_stale_served_total", upstream="docker.io") > 0


def test_dockerd_by_path(short_path, breakwater, outage):
    with Dockerd(short_path / "dockerd", f"http://{address(breakwater)}") as engine:
        pull_run_and_survive(engine, f"{address(breakwater)}/{NAME}/team/hello:1", outage)


def test_podman(short_path, breakwater, outage):
    with Podman(short_path / "podman") as engine:
        pull_run_and_survive(engine, f"{address(breakwater)}/{NAME}/team/hello:1", outage)


def test_skopeo(tmp_path, breakwater, hello, outage):
    source = f"docker://{address(breakwater)}/{NAME}/team/hello:1"
    for target in (tmp_path / "first", tmp_path / "second"):
        skopeo_copy(source, f"dir:{target}")
        assert (target / "manifest.json").read_bytes() == hello.body
        for digest, content in hello.blobs.items():
            assert (target / digest.partition(":")[2]).read_bytes() == content
        outage()


def test_skopeo_lists_and_inspects(breakwater, hello, outage):
    source = f"docker://{address(breakwater)}/{NAME}/team/hello"
    for _ in range(2):
        assert json.loads(run("skopeo", "list-tags", "--tls-verify=false", source))["Tags"] == ["1"]
        assert skopeo_inspect(f"{source}:1")["Digest"] == hello.digest
        outage()
