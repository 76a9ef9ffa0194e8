"""The conformance suite of the OCI distribution specification, with every API and
every kind of data that it knows switched on.

Nothing may fail, and nothing may be skipped: a skip of the suite means that the
server has answered "not supported".
"""

import os
import subprocess
import xml.etree.ElementTree

import pytest

from harness.server import Breakwater
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


@pytest.fixture
def server(tmp_path, request):
    server = Breakwater(tmp_path / "server", {}, {"uploads": request.param} if request.param else None)
    yield server.start()
    code = server.stop()
    print(server.stderr()[-4000:])
    assert code == 0
    server.check_log()


def run_suite(server, folder, version, **settings):
    """Its test cases: a list of (name, status, what it said)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCI_")}
    done = subprocess.run(
        [tool("conformance")], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300, check=False, env={
            **environment, "OCI_VERSION": version, "OCI_TLS": "disabled",
            "OCI_REGISTRY": f"127.0.0.1:{server.port}", "OCI_RESULTS_DIR": str(folder / "results"),
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
    for name, status, said in cases:
        if status != "passed":
            print(f"=== {name}: {status}\n{said[:6000]}\n")
    assert [f"{name}: {status}" for name, status, _ in cases if status != "passed"] == []
    assert code == 0
    assert len(cases) >= at_least, f"only {len(cases)} cases ran"


@pytest.mark.parametrize("server", [{"checkReferences": "none"}], indirect=True, ids=["unchecked"])
@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_everything(server, tmp_path, version):
    check(*run_suite(server, tmp_path, version), at_least=800)


@pytest.mark.parametrize("server", [None], indirect=True, ids=["default"])
@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_as_configured_by_default(server, tmp_path, version):
    check(*run_suite(server, tmp_path, version, **SPARSE), at_least=750)
