"""The configuration file: what is wrong with it, where, and what was meant."""

import os

import pytest
import yaml

from harness.samples import EVERYTHING
from harness.server import NAME, merged, settings_of

GOOD = {
    "version": 1,
    "storage": {"filesystem": {"rootDirectory": "./store"}},
    "metadata": {"sqlite": {"path": "./index.db"}},
    "proxy": {"upstreams": {NAME: {"urls": ["http://127.0.0.1:1"]}}},
}


@pytest.fixture
def check(command, tmp_path):
    """Runs check-config on a document (or text); its exit code and what it said."""
    def run(document, environment=None, verb="check-config"):
        path = tmp_path / "config.yaml"
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
        done = command(verb, "--config", path,
                       environment={**os.environ, **(environment or {})})
        return done.returncode, done.stdout + done.stderr
    return run


def test_good(check):
    code, said = check(GOOD)
    assert code == 0, said


def test_everything_there_is(check, tmp_path):
    (tmp_path / "password").write_text("secret\n")
    code, said = check(EVERYTHING.replace("{folder}", str(tmp_path)))
    assert code == 0, said


# A change to the good file -> what the complaint must say.
MISTAKES = {
    "typo at the top": ({"proxi": {}}, ["proxi", 'did you mean "proxy"']),
    "typo in an upstream": ({"proxy": {"upstreams": {NAME: {"manifestTtl": "5m"}}}},
                            ["manifestTtl", 'did you mean "manifestTTL"']),
    "typo in http": ({"http": {"adress": "127.0.0.1:1"}}, ["adress", 'did you mean "address"']),
    "nothing alike": ({"proxy": {"upstreams": {NAME: {"zzzzzz": 1}}}}, ["zzzzzz"]),
    "word for a number": ({"http": {"threads": "many"}}, ["threads", "many"]),
    "no threads": ({"http": {"threads": 0}}, ["threads"]),
    "too many threads": ({"http": {"threads": 10_000_000}}, ["threads"]),
    "negative": ({"http": {"threads": -1}}, ["threads"]),
    "duration without a unit": ({"http": {"drainTimeout": "10"}}, ["drainTimeout"]),
    "duration of nonsense": ({"http": {"drainTimeout": "10 parsecs"}}, ["drainTimeout", "parsecs"]),
    "negative duration": ({"http": {"drainTimeout": "-5s"}}, ["drainTimeout"]),
    "level": ({"log": {"level": "loud"}}, ["level", "loud", "debug"]),
    "format": ({"log": {"format": "xml"}}, ["format", "xml", "json"]),
    "list for a word": ({"log": {"level": ["info"]}}, ["level"]),
    "word for a map": ({"http": "127.0.0.1:5000"}, ["http"]),
    "map for a list": ({"proxy": {"upstreams": {NAME: {"urls": {"a": 1}}}}}, ["urls"]),
    "address without a port": ({"http": {"address": "127.0.0.1"}}, ["address"]),
    "port too large": ({"http": {"address": "127.0.0.1:70000"}}, ["address", "70000"]),
    "no urls": ({"proxy": {"upstreams": {NAME: {"urls": []}}}}, ["urls"]),
    "url without a scheme": ({"proxy": {"upstreams": {NAME: {"urls": ["registry.test"]}}}},
                             ["registry.test"]),
    "url of another scheme": ({"proxy": {"upstreams": {NAME: {"urls": ["ftp://registry.test"]}}}},
                              ["ftp://registry.test"]),
    "url with a password": ({"proxy": {"upstreams": {NAME: {"urls": ["http://u:p@registry.test"]}}}},
                            ["urls"]),
    "upstream's name": ({"proxy": {"upstreams": {"Not a host": {"urls": ["http://x.test"]}}}},
                        ["Not a host"]),
    "alias of two": ({"proxy": {"upstreams": {
        NAME: {"aliases": ["same.test"]},
        "b.test": {"urls": ["http://x.test"], "aliases": ["same.test"]}}}}, ["same.test"]),
    "alias that is another's name": ({"proxy": {"upstreams": {
        NAME: {"aliases": ["b.test"]}, "b.test": {"urls": ["http://x.test"]}}}}, ["b.test"]),
    "default upstream that is none": ({"proxy": {"defaultUpstream": "quay.io"}}, ["quay.io"]),
    "credential that is none": ({"proxy": {"upstreams": {NAME: {
        "credentials": [{"match": "**", "use": ["nobody"]}]}}}}, ["nobody"]),
    "credential without a password": ({"credentials": {"a": {"username": "x"}}}, ["password"]),
    "two passwords": ({"credentials": {"a": {"username": "x", "password": "y",
                                             "passwordFile": "/dev/null"}}}, ["password"]),
    "missing password file": ({"credentials": {"a": {"username": "x",
                                                     "passwordFile": "/nowhere/at/all"}}},
                              ["/nowhere/at/all"]),
    "staleOn": ({"proxy": {"upstreams": {NAME: {"staleOn": ["never"]}}}}, ["staleOn", "never"]),
    "missing CA file": ({"proxy": {"upstreams": {NAME: {"tls": {"caFile": "/nowhere/ca.pem"}}}}},
                        ["/nowhere/ca.pem"]),
    "version": ({"version": 2}, ["version", "2"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("verb", ["check-config", "serve"])
def test_mistakes(check, tmp_path, mistake, verb):
    change, pieces = MISTAKES[mistake]
    code, said = check(merged(GOOD, change), verb=verb)
    assert code == 78, said
    for piece in pieces:
        assert piece.replace('"', "") in said.replace('\\"', "").replace('"', ""), said
    assert str(tmp_path / "config.yaml") in said


def test_a_mistake_is_found_where_it_is(check, tmp_path):
    text = yaml.safe_dump(GOOD) + "# a comment\nhttp:\n  address: 127.0.0.1:5000\n  thread: 5\n"
    line = text[:text.index("thread:")].count("\n") + 1
    code, said = check(text)
    assert code == 78
    assert f"config.yaml:{line}" in said


def test_all_mistakes_are_told_at_once(check):
    code, said = check(merged(GOOD, {"proxi": {}, "http": {"adress": "x"}, "log": {"level": "loud"}}))
    assert code == 78
    assert "proxi" in said and "adress" in said and "loud" in said


NOT_YET = {
    "htpasswd": {"auth": {"htpasswd": {"path": "/etc/breakwater/htpasswd"}}},
    "policies": {"auth": {"policies": []}},
    "tls": {"http": {"tls": {"certificateFile": "/x"}}},
    "access": {"proxy": {"upstreams": {NAME: {"access": "upstream"}}}},
    "dockerConfigFile": {"credentials": {"a": {"dockerConfigFile": "/x"}}},
    "exec": {"credentials": {"a": {"exec": {"command": ["x"]}}}},
}


@pytest.mark.parametrize("key", NOT_YET)
def test_what_is_not_there_yet_is_refused(check, key):
    code, said = check(merged(GOOD, NOT_YET[key]))
    assert code == 78, said
    assert "not supported yet" in said


@pytest.mark.parametrize("text", [
    "version: 1\nproxy: [", "version: 1\n  bad: indentation\n", "\tversion: 1\n", "- a\n- b\n", "5",
    "version: 1\nversion: 1\n", "version: 1\nlog: {level: info}\nlog: {level: debug}\n",
    "a: &a [*a]\n", "version: !!python/object:os.system 1\n", "\x00\x01", "version: 1\n---\nversion: 1\n",
    "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [*c,*c,*c]\n", "[" * 10_000, "{a: " * 5_000,
    "version: 1\nlog: {level: \"" + "x" * 100_000 + "\"}\n"])
def test_no_yaml_or_odd_yaml(check, text):
    code, said = check(text)
    assert code == 78, said
    assert "config.yaml" in said
    assert len(said) < 10_000


def test_file_that_is_not_there(command, tmp_path):
    for verb in ("serve", "check-config"):
        done = command(verb, "--config", tmp_path / "none.yaml")
        assert done.returncode == 78
        assert "none.yaml" in done.stderr


def test_folder_in_place_of_the_file(command, tmp_path):
    done = command("check-config", "--config", tmp_path)
    assert done.returncode == 78


# Off loopback

@pytest.mark.parametrize("address", ["0.0.0.0:5000", ":5000", "[::]:5000", "192.0.2.1:5000"])
def test_off_loopback_needs_a_word(check, address):
    code, said = check(merged(GOOD, {"http": {"address": address}}), verb="serve")
    assert code == 78, said
    assert "auth: none" in said


def test_off_loopback_when_told_so(upstream, image, serve):
    server = serve(upstream, running=False)
    server.write(merged(server.document, {"auth": "none",
                                          "http": {"address": f"0.0.0.0:{server.port}"}}))
    server.start()
    assert server.manifest("team/app", "1").status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_needs_none(upstream, image, serve, host):
    server = serve(upstream, running=False)
    server.write(merged(server.document, {"http": {"address": f"{host}:{server.port}"}}))
    server.start()
    assert server.manifest("team/app", "1").status == 200


# The environment

def test_environment_goes_before_the_file(upstream, image, serve):
    server = serve(upstream, running=False)
    address = server.document["http"]["address"]
    server.write(merged(server.document, {"http": {"address": "127.0.0.1:1"}}))
    server.environment["BREAKWATER_HTTP_ADDRESS"] = address
    server.start()
    assert server.manifest("team/app", "1").status == 200


def test_environment_of_an_upstream(upstream, image, serve):
    server = serve(upstream, manifestTTL="1h", environment={
        "BREAKWATER_PROXY_UPSTREAMS_UP_TEST_MANIFESTTTL": "0s"})
    server.manifest("team/app", "1")
    assert server.manifest("team/app", "1").cache == "revalidated"


def test_environment_alone(check):
    code, said = check(GOOD, {"BREAKWATER_LOG_LEVEL": "debug", "BREAKWATER_HTTP_THREADS": "12"})
    assert code == 0, said


@pytest.mark.parametrize("name, value", [
    ("BREAKWATER_LOG_LEVEL", "loud"), ("BREAKWATER_HTTP_THREADS", "many"),
    ("BREAKWATER_HTTP_DRAINTIMEOUT", "soon")])
def test_mistakes_in_the_environment(check, name, value):
    code, said = check(GOOD, {name: value})
    assert code == 78, said
    assert name in said


def test_variables_that_kubernetes_sets(check):
    """Beside a Service called breakwater every pod has these; they are no configuration."""
    code, said = check(GOOD, {"BREAKWATER_PORT": "tcp://10.0.0.1:5000", "BREAKWATER_SERVICE_PORT": "5000",
                              "BREAKWATER_SERVICE_HOST": "10.0.0.1",
                              "BREAKWATER_PORT_5000_TCP_ADDR": "10.0.0.1"})
    assert code == 0, said


def test_secret_is_not_shown(check):
    document = merged(GOOD, {"credentials": {"a": {"username": "x", "password": "s3cr3t-value",
                                                   "pasword": "s3cr3t-value"}}})
    code, said = check(document)
    assert code == 78
    assert "s3cr3t-value" not in said


def test_relative_paths_and_data_folder_are_made(upstream, image, serve):
    server = serve(upstream, running=False)
    server.write(merged(server.document, {
        "storage": {"filesystem": {"rootDirectory": "./deep/er/store"}},
        "metadata": {"sqlite": {"path": "./deep/er/index.db"}}}))
    server.start()
    server.pull("team/app", "1")
    assert (server.folder / "deep/er/index.db").exists()


def test_upstream_under_a_path(upstream, other, image, serve):
    """urls may have a path, as mirrors behind a reverse proxy do."""
    other.repositories = upstream.repositories
    server = serve(upstreams={NAME: settings_of(f"{other.url}/mirror")})
    server.manifest("team/app", "1")
    assert other.exchanges
    assert all(asked.path.startswith("/mirror/v2/") for asked in other.exchanges)
