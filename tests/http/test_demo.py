"""`make demo`: the story it tells is true, or it says that it is not."""

import os
import subprocess
import time

import pytest

from harness.server import BINARY, ROOT


def demo(**environment):
    return subprocess.run([ROOT / "demo/run"], capture_output=True, text=True, check=False,
                          timeout=100, env={**os.environ, **environment})


def test_the_story_holds():
    began = time.monotonic()
    done = demo(BREAKWATER=str(BINARY))
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < 60   # 5 s, and more on a sanitized build
    for piece in ("miss", "kill -9", "stale", "Warning: 110", "revalidated",
                  "registry_proxy_stale_served_total"):
        assert piece in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("program", ["/bin/false", "/nowhere/breakwater"])
def test_without_a_server_it_does_not_hold(program):
    done = demo(BREAKWATER=program)
    assert done.returncode == 1
    assert "Fetched" not in done.stdout
