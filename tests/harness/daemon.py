"""A server that a test starts, kills, pauses and starts again.

Readiness is asked for, never slept for. A daemon keeps its ports and its folder
over restarts: that is how an outage is played.
"""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

START_TIMEOUT = 60


def wait_until(condition, timeout=20, complaint="it did not happen in time"):
    """Asks until the answer is yes; an OSError counts as a no. The last answer."""
    end = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError):
            answer = condition()
            if answer:
                return answer
        assert time.monotonic() < end, complaint() if callable(complaint) else complaint
        time.sleep(0.02)


class Daemon:
    """Subclasses say command() and ready(), and may prepare() their folder."""

    name = "daemon"

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_file = self.folder / f"{self.name}.log"
        self.process = None

    def command(self):
        raise NotImplementedError

    def ready(self):
        raise NotImplementedError

    def prepare(self):
        """Before every start."""

    def environment(self):
        return {}

    def start(self, wait=True):
        assert self.process is None, f"{self.name} runs already"
        self.prepare()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                list(map(str, self.command())), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env={**os.environ, **self.environment()}, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=START_TIMEOUT):
        try:
            wait_until(self._alive_and_ready, timeout,
                       lambda: f"{self.name} did not get ready in {timeout} s\n{self.log()}")
        except BaseException:
            self.kill()
            raise

    def _alive_and_ready(self):
        code = self.process.poll()
        assert code is None, f"{self.name} ended with {code} instead of getting ready\n{self.log()}"
        return self.ready()

    def log(self):
        return self.log_file.read_text(errors="replace")[-6000:] if self.log_file.exists() else ""

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout=20):
        """An orderly end, by force where that takes too long."""
        if self.process is None:
            return
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self):
        """As a machine that lost its power would end it."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process = None

    def pause(self):
        """It hangs: connections are taken by the kernel, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(self._stopped, 10, f"a thread of {self.name} does not stop")

    def _stopped(self):
        """Each of its threads; a machine that is busy takes its time."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return all((task / "stat").read_text().rpartition(") ")[2].startswith("T") for task in tasks)

    def resume(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)

    def restart(self):
        self.stop()
        return self.start()

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, *_):
        self.stop()
