"""What a push costs the disk."""

import re
import signal
import subprocess

import pytest

from fakes import images
from harness.push import Repository

FLUSHES = "fsync,fdatasync,syncfs,sync_file_range,sync,msync"


@pytest.fixture
def flushes(local, tmp_path):
    """flushes(do): how often the server flushes while do() runs."""
    def count(what):
        report = tmp_path / "strace"
        with (tmp_path / "strace.log").open("wb") as log:
            tracer = subprocess.Popen(
                ["strace", "-f", "-e", f"trace={FLUSHES}", "-o", report, "-p", str(local.process.pid)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.PIPE)
            try:
                line = tracer.stderr.readline().decode()
                if "attached" not in line:
                    pytest.fail(f"strace: {line}")
                what()
            finally:
                tracer.send_signal(signal.SIGINT)
                tracer.communicate(timeout=20)
        calls = re.findall(r"\b(fsync|fdatasync|syncfs|sync_file_range|sync|msync)\(", report.read_text())
        print(calls)
        return len(calls)
    return count


@pytest.mark.heavy
def test_a_small_image_needs_fewer_flushes_than_files(local, flushes):
    """Config, layer, manifest and tag are more files than six, with their folders; and
    none of it may be acknowledged before it is flushed."""
    repository = Repository(local, "team/app")
    repository.push(images.image([20_000], seed="first"), "1")      # folders are made once
    found = flushes(lambda: repository.push(images.image([20_000], seed="second"), "2"))
    assert 3 <= found < 7
