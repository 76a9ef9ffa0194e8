"""The conformance suite of the OCI distribution specification, with every API and
every kind of data that it knows switched on: harness/conformance.py."""

import pytest

from harness.conformance import SPARSE, check, run_suite
from harness.server import Breakwater


@pytest.fixture
def server(tmp_path, request):
    server = Breakwater(tmp_path / "server", {}, {"uploads": request.param} if request.param else None)
    yield server.start()
    code = server.stop()
    print(server.stderr()[-4000:])
    assert code == 0
    server.check_log()


@pytest.mark.parametrize("server", [{"checkReferences": "none"}], indirect=True, ids=["unchecked"])
@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_everything(server, tmp_path, version):
    check(*run_suite(server.port, tmp_path, version), at_least=800)


@pytest.mark.parametrize("server", [None], indirect=True, ids=["default"])
@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_as_configured_by_default(server, tmp_path, version):
    check(*run_suite(server.port, tmp_path, version, **SPARSE), at_least=750)
