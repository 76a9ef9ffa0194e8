"""Runs the test suites and says how each ended.

Called by tests/run, which has installed what this needs. A suite that fails to
build, crashes, or runs no test at all has failed.
"""

import argparse
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.shared_backends import SharedBackends, end_on_signals

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "test-logs"
JOBS = str(os.cpu_count() or 2)
# Black-box tests wait more than they work.
WORKERS = str(2 * int(JOBS))


@dataclass
class Outcome:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)

    def fail(self, what):
        self.failed += 1
        self.failures.append(what)


class Suite:
    """A suite's log file, and the commands that write to it."""

    def __init__(self, name, options):
        self.name = name
        self.options = options
        self.log = LOGS / f"{name}.log"
        self.outcome = Outcome()
        self.log.write_text("")

    def run(self, *command, env=None):
        with self.log.open("ab") as log:
            log.write(f"$ {' '.join(map(str, command))}\n".encode())
            log.flush()
            return subprocess.run(
                list(map(str, command)), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, check=False).returncode

    def build(self, preset, *targets):
        configure = self.run("cmake", "--preset", preset, "-Wno-dev")
        command = ["cmake", "--build", "--preset", preset, "-j", JOBS]
        if targets:
            command += ["--target", *targets]
        if configure != 0 or self.run(*command) != 0:
            self.outcome.fail(f"the {preset} build")
            return False
        return True

    def pytest(self, *arguments, env=None):
        report = LOGS / f"{self.name}.xml"
        report.unlink(missing_ok=True)
        code = self.run(sys.executable, "-m", "pytest", "-c", "tests/pytest.ini", "--rootdir=.",
                        f"--junit-xml={report}", *arguments, *self.options.pytest, env=env)
        if not report.exists():
            self.outcome.fail(f"pytest itself (exit {code})")
            return
        before = self.outcome.failed
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                self.outcome.fail(f"{case.get('classname')}::{case.get('name')}")
            elif case.find("skipped") is not None:
                self.outcome.skipped += 1
            else:
                self.outcome.passed += 1
        if code not in (0, 5) and self.outcome.failed == before:
            self.outcome.fail(f"pytest itself (exit {code})")

    def ctest(self, directory, labels):
        """Counts the tests inside of each cmocka program; a crash is one failure more."""
        try:
            servers = self.options.backends.environment()
        except (AssertionError, OSError) as error:
            with self.log.open("a") as log:
                log.write(f"{error}\n")
            self.outcome.fail("the servers that the stores are tested on")
            return
        report = LOGS / f"{self.name}.xml"
        report.unlink(missing_ok=True)
        self.run("ctest", "--test-dir", directory, "-L", labels, "-j", JOBS, "--output-on-failure",
                 "--test-output-size-passed", "1000000", "--test-output-size-failed", "1000000",
                 "--output-junit", report, env={**SANITIZERS, **servers})
        if not report.exists():
            self.outcome.fail("ctest itself")
            return
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            output = case.findtext("system-out") or ""
            names = set(re.findall(r"^\[  (?:FAILED |ERROR  ) *\] (?:GROUP SETUP: )?([a-z]\w*)$",
                                   output, re.MULTILINE))
            self.outcome.passed += len(re.findall(r"^\[       OK \]", output, re.MULTILINE))
            for name in sorted(names):
                self.outcome.fail(f"{case.get('name')}: {name}")
            if case.get("status") != "run" and not names:
                self.outcome.fail(f"{case.get('name')} ({case.get('status')})")


SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:exitcode=99:"
                    f"suppressions={ROOT}/tests/support/tsan.suppressions",
}


def lint(suite):
    suite.pytest("tests/lint", "tests/fakes", "-n", JOBS)


def unit(suite):
    if suite.build("asan"):
        suite.ctest("build/asan", "unit|contract")


def properties(suite):
    if suite.build("asan", "property_driver"):
        suite.pytest("tests/property", env=SANITIZERS)


def concurrency(suite):
    if suite.build("tsan"):
        suite.ctest("build/tsan", "concurrency")


def http(suite):
    if suite.build("release"):
        suite.pytest("tests/http", "-n", WORKERS, "--dist=worksteal",
                     env={"BREAKWATER": str(ROOT / "build/breakwater")})


def http_asan(suite):
    if suite.build("asan", "breakwater"):
        suite.pytest("tests/http", "tests/conformance", "-n", WORKERS, "--dist=worksteal", "-m", "not heavy",
                     env={"BREAKWATER": str(ROOT / "build/asan/breakwater"), **SANITIZERS})


def cluster(suite):
    if suite.build("release"):
        suite.pytest("tests/cluster", "-n", JOBS, "--dist=worksteal",
                     env={"BREAKWATER": str(ROOT / "build/breakwater")})


def conformance(suite):
    if suite.build("release"):
        suite.pytest("tests/conformance", "-n", JOBS,
                     env={"BREAKWATER": str(ROOT / "build/breakwater")})


def e2e(suite):
    if suite.build("release"):
        suite.pytest("tests/e2e", env={"BREAKWATER": str(ROOT / "build/breakwater")})


def fuzz(suite):
    if not suite.build("fuzz"):
        return
    with ThreadPoolExecutor(int(JOBS)) as pool:
        for target, code in pool.map(lambda target: run_fuzz_target(target, suite.options),
                                     sorted((ROOT / "tests/fuzz").glob("fuzz_*.c"))):
            if code == 0:
                suite.outcome.passed += 1
            else:
                suite.outcome.fail(f"{target}: its log and its input lie in {LOGS}")


def run_fuzz_target(source, options):
    corpus = ROOT / "build/fuzz/corpus" / source.stem
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = ROOT / "tests/fuzz/corpus" / source.stem.removeprefix("fuzz_")
    command = [ROOT / "build/fuzz/tests/fuzz" / source.stem,
               f"-max_total_time={options.fuzz_seconds}", "-timeout=10", "-rss_limit_mb=2048",
               "-print_final_stats=1", f"-artifact_prefix={LOGS}/{source.stem}-", corpus]
    with (LOGS / f"{source.stem}.log").open("wb") as log:
        done = subprocess.run(command + ([seeds] if seeds.is_dir() else []), cwd=ROOT, stdout=log,
                              stdin=subprocess.DEVNULL, stderr=log, env={**os.environ, **SANITIZERS},
                              check=False)
    return source.stem, done.returncode


SUITES = {"lint": lint, "unit": unit, "properties": properties, "concurrency": concurrency,
          "http": http, "http-asan": http_asan, "cluster": cluster, "conformance": conformance,
          "e2e": e2e, "fuzz": fuzz}


def run_suite(name, options):
    suite = Suite(name, options)
    print(f"{name} ...", flush=True)
    started = time.monotonic()
    SUITES[name](suite)
    if suite.outcome.passed + suite.outcome.failed == 0:
        suite.outcome.fail("it ran no test")
    seconds = time.monotonic() - started
    for failure in suite.outcome.failures:
        print(f"  FAILED {failure}")
    if suite.outcome.failed:
        print(f"  the log: {suite.log}")
        tail = suite.log.read_text(errors="replace").splitlines()[-options.tail:]
        print("\n".join("  | " + line for line in tail), flush=True)
    return suite.outcome, seconds


def main():
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=", ".join(SUITES))
    parser.add_argument("--fuzz-seconds", type=int, default=10, help="for each fuzz target")
    parser.add_argument("--tail", type=int, default=60, help="lines of a failed suite's log to show")
    parser.add_argument("--pytest", action="append", default=[], metavar="ARG",
                        help="passed on to pytest, e.g. --pytest=-k --pytest=stale")
    options = parser.parse_args()
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no suite is called {', '.join(unknown)}; there are {', '.join(SUITES)}")

    LOGS.mkdir(parents=True, exist_ok=True)
    end_on_signals()
    with SharedBackends() as options.backends:
        results = {name: run_suite(name, options) for name in options.suites or SUITES}

    print(f"\n{'suite':<14}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for name, (outcome, seconds) in results.items():
        print(f"{name:<14}{outcome.passed:>8}{outcome.failed:>8}{outcome.skipped:>9}{seconds:>9.0f}")
    passed, failed, skipped = (sum(getattr(outcome, what) for outcome, _ in results.values())
                               for what in ("passed", "failed", "skipped"))
    print(f"\n{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
