"""Where tests/install-tools has put its programs."""

import os
from pathlib import Path

BIN = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "breakwater/tools/bin"


def tool(name):
    path = BIN / name
    assert path.exists(), f"{path} is not there; tests/run installs it"
    return path
