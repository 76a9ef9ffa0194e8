"""Asks the C driver (tests/property/driver.c) what the code under test answers."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DRIVER = os.environ.get("PROPERTY_DRIVER", ROOT / "build/asan/tests/property_driver")


class Driver:
    def __init__(self):
        self.process = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, command, *arguments):
        """The words of its answer, texts decoded to bytes."""
        words = [argument.hex() or "-" for argument in arguments]
        try:
            self.process.stdin.write(" ".join([command, *words]).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline().decode()
        assert line.endswith("\n"), f"the driver died of {command} {arguments!r}"
        return [bytes.fromhex(word[:-1]) if word.endswith(".") else word for word in line.split()]

    def accepts(self, command, *arguments):
        return self(command, *arguments)[0] == "yes"
