"""The command line: exit codes, help, snippets, schema, warm."""

import json
import re

import jsonschema
import pytest
import yaml

from fakes import faults, images
from harness.samples import EVERYTHING
from harness.server import NAME

COMMANDS = ["serve", "check-config", "schema", "client-config", "warm", "gc", "scrub", "reindex",
            "version"]


def test_version(command):
    done = command("version")
    assert done.returncode == 0
    assert re.search(r"\d+\.\d+\.\d+", done.stdout)
    assert command("--version").stdout in (done.stdout, "")


def test_help(command):
    done = command("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert name in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each(command, name):
    done = command(name, "--help")
    assert done.returncode == 0
    assert name in done.stdout
    assert "xample" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["serve", "--nonsense"], ["serve", "extra"], ["serve", "--config"],
    ["client-config"], ["client-config", "nonsense"], ["warm"], ["version", "extra"],
    ["check-config", "a", "b"], ["schema", "--nonsense"],
    ["gc"], ["gc", "--dry-run", "--delete"], ["gc", "--dry-run", "extra"], ["gc", "--quarantine"],
    ["gc", "--delete", "--output", "xml"], ["gc", "--delete", "--output"], ["scrub", "--rate", "fast"],
    ["scrub", "--rate", "0"], ["scrub", "--delete"], ["reindex", "everything"],
    ["reindex", "--output", "yaml"]])
def test_usage(command, arguments):
    done = command(*arguments)
    assert done.returncode == 2, done
    assert done.stderr and "Usage" in done.stderr or "usage" in done.stderr or "--help" in done.stderr


def test_a_command_that_was_meant(command):
    done = command("chek-config")
    assert done.returncode == 2
    assert "check-config" in done.stderr


def test_schema(command):
    done = command("schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(EVERYTHING.replace("{folder}", "/run/secrets")))
    for change in ({"proxi": {}}, {"http": {"threads": "many"}}, {"log": {"level": "loud"}},
                   {"http": {"thread": 1}}):
        assert list(validator.iter_errors({"version": 1, **change})), change


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({
        "version": 1, "http": {"address": "127.0.0.1:5055"},
        "proxy": {"defaultUpstream": "docker.io", "upstreams": {
            "docker.io": {"urls": ["https://registry-1.docker.io"]},
            "quay.example": {"urls": ["https://quay.example"]}}}}))
    return path


@pytest.mark.parametrize("runtime, pieces", [
    ("containerd", ["_default/hosts.toml", "config_path", "http://127.0.0.1:5055", "pull", "resolve"]),
    ("docker", ["daemon.json", "registry-mirrors", "http://127.0.0.1:5055"]),
    ("podman", ["registries.conf", "location", "127.0.0.1:5055", "quay.example", "docker.io"]),
    ("crio", ["registries.conf", "127.0.0.1:5055", "quay.example"]),
    ("k3s", ["registries.yaml", "mirrors", "http://127.0.0.1:5055"]),
])
def test_client_config(command, config, runtime, pieces):
    done = command("client-config", runtime, "--config", config)
    assert done.returncode == 0, done.stderr
    for piece in pieces:
        assert piece in done.stdout, done.stdout
    assert "\x1b" not in done.stdout


def test_client_config_follows_the_external_url(command, config):
    document = yaml.safe_load(config.read_text())
    document["http"]["externalURL"] = "https://cache.example"
    config.write_text(yaml.safe_dump(document))
    for runtime in ("containerd", "docker", "podman"):
        said = command("client-config", runtime, "-c", config).stdout
        assert "cache.example" in said and "127.0.0.1:5055" not in said


@pytest.mark.parametrize("name", ["gc --dry-run", "scrub", "reindex"])
def test_commands_of_the_stores_need_a_good_configuration(command, tmp_path, name):
    (tmp_path / "bad.yaml").write_text("version: 1\nuploads: {maxAge: never}\n")
    done = command(*name.split(), "-c", "bad.yaml")
    assert done.returncode == 78 and "uploads.maxAge" in done.stderr


def test_short_option(command, config):
    assert command("check-config", "-c", config).returncode == 0


def test_default_configuration_needs_no_file(command):
    done = command("check-config")
    assert done.returncode == 0, done.stderr


# warm

def test_warm(upstream, image, serve, command):
    server = serve(upstream)
    done = command("warm", f"{NAME}/team/app:1", "--config", server.config_file)
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stdout + done.stderr and "\x1b" not in done.stdout + done.stderr
    upstream.refuse()
    assert server.pull("team/app", "1")[0].body == image.body


def test_warm_index(upstream, serve, command):
    children = [images.image([2000], seed=seed) for seed in range(2)]
    upstream.add("team/multi", "1", images.index(children))
    server = serve(upstream, manifestTTL="0s")
    done = command("warm", f"{NAME}/team/multi:1", "-c", server.config_file)
    assert done.returncode == 0, done.stderr
    upstream.refuse()
    assert server.manifest("team/multi", "1").status == 200


def test_warm_what_is_not_there(upstream, image, serve, command):
    server = serve(upstream)
    done = command("warm", f"{NAME}/team/app:1", f"{NAME}/team/none:1", "-c", server.config_file)
    assert done.returncode == 1
    assert "team/none" in done.stdout + done.stderr


def test_warm_when_the_upstream_is_down(upstream, image, serve, command):
    server = serve(upstream)
    upstream.fail("all", faults.status(500))
    done = command("warm", f"{NAME}/team/app:1", "-c", server.config_file)
    assert done.returncode == 1
    assert NAME in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["", "UPPER/x:1", "a b", "x.test/y:", "x.test/y@sha256:12", "../x"])
def test_warm_names_that_are_none(upstream, serve, command, name):
    server = serve(upstream)
    assert command("warm", name, "-c", server.config_file).returncode in (1, 2)


def test_warm_by_digest(upstream, image, serve, command):
    server = serve(upstream)
    done = command("warm", f"{NAME}/team/app@{image.digest}", "-c", server.config_file)
    assert done.returncode == 0, done.stderr
