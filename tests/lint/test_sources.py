"""Format, size and shape of the sources, by the tools that know."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

C_FILES = sorted(str(path.relative_to(ROOT)) for folder in ("server", "backends", "auth", "tests")
                 for path in (ROOT / folder).rglob("*.[ch]"))
SHIPPED = [path for path in C_FILES if path.endswith(".c") and not path.startswith("tests/")]

MAX_LINES = 60
MAX_COMPLEXITY = 15
MAX_FILE_LINES = 600
# Functions that read better long or branchy than cut, with the reason.
LONG_OR_BRANCHY = {
}


def is_shell_script(path):
    with path.open("rb") as file:
        return re.match(rb"#!\s*/(usr/)?bin/(env )?(ba|da)?sh\b", file.readline()) is not None


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in listed.splitlines() if (ROOT / path).is_file()]


SCRIPTS = [path for path in tracked_files() if is_shell_script(ROOT / path)]


def check(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", C_FILES)
def test_is_formatted(path):
    check("clang-format", "--dry-run", "-Werror", path)


@pytest.mark.parametrize("path", SCRIPTS)
def test_shell_script_is_sound(path):
    check("shellcheck", path)


@pytest.mark.parametrize("path", SHIPPED)
def test_functions_are_short_and_plain(path):
    """pmccabe prints: modified complexity, complexity, statements, first line, lines, file: name."""
    output = subprocess.run(["pmccabe", path], cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout
    too_much = []
    for line in output.splitlines():
        complexity, _, _, _, lines, where = line.split("\t", 5)
        name = where.rpartition(": ")[2]
        if name in LONG_OR_BRANCHY:
            continue
        if int(lines) > MAX_LINES or int(complexity) > MAX_COMPLEXITY:
            too_much.append(f"{name}: {lines} lines, complexity {complexity}")
    assert too_much == []


@pytest.mark.parametrize("path", SHIPPED)
def test_file_can_be_read_in_one_sitting(path):
    assert len((ROOT / path).read_text().splitlines()) <= MAX_FILE_LINES


def test_nothing_built_or_private_is_tracked():
    assert [path for path in tracked_files()
            if path.startswith(("build/", "data/")) or path.endswith((".pem", ".key", ".db"))] == []
