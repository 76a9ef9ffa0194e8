"""What somebody who is woken at night finds in the log."""

import re
import shutil

import pytest

from fakes import faults
from fakes.upstream import BasicAuth, BearerAuth
from harness.server import NAME


def lines(server, message):
    return [line for line in server.log_lines() if re.search(message, line["msg"])]


def test_outage_is_told_once_when_it_begins_and_once_when_it_ends(upstream, image, serve):
    server = serve(upstream)
    upstream.fail("all", faults.status(500))
    for number in range(2, 30):
        assert server.manifest("team/app", str(number)).status in (502, 503)
    begin, = lines(server, "keeps failing")
    assert begin["level"] == "warning"
    assert begin["upstream"] == NAME and begin["credential"] == "anonymous"
    assert begin["url"] == upstream.url
    assert "answered 500" in begin["err.message"]
    assert not lines(server, "answers again")
    upstream.heal()
    server.wait_until(lambda: server.manifest("team/app", "1").status == 200)
    end, = lines(server, "answers again")
    assert end["upstream"] == NAME


def test_throttling_is_told_once(upstream, image, serve):
    server = serve(upstream)
    upstream.fail("all", faults.status(429, Retry_After=57))
    for number in range(5):
        server.manifest("team/app", str(number))
    line, = lines(server, "throttles us")
    assert "429" in line["err.message"] and "57 s" in line["err.message"]


def test_stale_copy_is_told_with_its_tag_and_the_reason(upstream, image, serve):
    server = serve(upstream, manifestTTL="0s")
    server.manifest("team/app", "1")
    upstream.fail("all", faults.status(503))
    assert server.manifest("team/app", "1").cache == "stale"
    line, = lines(server, "stale")
    assert (line["upstream"], line["repository"], line["tag"]) == (NAME, f"{NAME}/team/app", "1")
    assert line["digest"] == image.digest
    assert "answered 503" in line["err.message"]


def test_failure_says_that_there_was_no_copy_to_fall_back_on(upstream, image, serve):
    server = serve(upstream)
    upstream.fail("all", faults.status(503))
    reply = server.manifest("team/app", "1")
    assert reply.error["message"].endswith("; no cached copy")
    upstream.heal()
    assert "copy" not in server.manifest("team/app", "not-there").error["message"]


@pytest.mark.parametrize("scheme", [BasicAuth, BearerAuth])
def test_wrong_password_is_told_by_the_credential_s_name(upstream, image, serve, scheme):
    upstream.auth = scheme({"acme": "right"})
    server = serve(upstream, credentials=[{"match": "**", "use": ["robot"]}], config={
        "credentials": {"robot": {"username": "acme", "password": "s3cr3t-but-old"}}})
    server.secrets.append("s3cr3t-but-old")
    for _ in range(5):
        assert server.manifest("team/app", "1").status == 403
    line, = lines(server, "credential refused")
    assert line["level"] == "error"
    assert (line["credential"], line["username"], line["origin"]) == ("robot", "acme", upstream.url)


def test_readiness_is_told_when_it_turns(upstream, image, serve):
    server = serve(upstream)
    hidden = server.root.with_name("hidden")
    server.root.rename(hidden)
    server.wait_until(lambda: server.admin("/readyz").status == 503)
    server.admin("/readyz")
    line, = lines(server, "^store away$")
    assert (line["level"], line["store"]) == ("error", "objects")
    assert str(server.root) in line["err.message"]
    hidden.rename(server.root)
    server.wait_until(server.ready)
    assert len(lines(server, "^store back$")) == 1


def test_start_names_the_stores_by_their_whole_paths(upstream, serve):
    line, = lines(serve(upstream, config={"storage": {"filesystem": {"rootDirectory": "./kept"}}}),
                  "^stores$")
    assert line["filesystem"].startswith("/") and line["filesystem"].endswith("/kept")


def test_spool_that_was_removed_costs_nothing(upstream, image, serve):
    server = serve(upstream)
    shutil.rmtree(server.root / "spool")
    server.pull("team/app", "1")
