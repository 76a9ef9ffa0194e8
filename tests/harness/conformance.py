"""The conformance suite of the OCI distribution specification, run against a port."""

import os
import subprocess
import xml.etree.ElementTree

from harness.tools import tool

EVERYTHING = {
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_TAG_PARAM": "true",
    "OCI_DATA_SPARSE": "true",
}
# What a server as it is configured by default cannot take: it checks that all
# that a manifest lists is there.
SPARSE = {"OCI_DATA_SPARSE": "false"}


def run_suite(port, folder, version, **settings):
    """Its exit code, and its test cases: a list of (name, status, what it said)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCI_")}
    done = subprocess.run(
        [tool("conformance")], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300, check=False, env={
            **environment, "OCI_VERSION": version, "OCI_TLS": "disabled",
            "OCI_REGISTRY": f"127.0.0.1:{port}", "OCI_RESULTS_DIR": str(folder / "results"),
            **EVERYTHING, **settings})
    print(done.stdout[-20000:], done.stderr[-4000:])
    report = folder / "results/junit.xml"
    assert report.exists(), "the suite wrote no report"
    cases = []
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        said = "\n".join(filter(None, (case.findtext("system-out"), case.findtext("system-err"))))
        cases.append((case.get("name"), case.get("status"), said))
    return done.returncode, cases


def check(code, cases, at_least):
    """Nothing may fail, and nothing may be skipped: a skip means that the server has
    answered "not supported"."""
    for name, status, said in cases:
        if status != "passed":
            print(f"=== {name}: {status}\n{said[:6000]}\n")
    assert [f"{name}: {status}" for name, status, _ in cases if status != "passed"] == []
    assert code == 0
    assert len(cases) >= at_least, f"only {len(cases)} cases ran"
