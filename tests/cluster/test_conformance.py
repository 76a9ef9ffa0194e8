"""The specification's own suite, each of whose requests reaches another replica."""

import pytest

from harness.balancer import Balancer
from harness.conformance import SPARSE, check, run_suite

UNCHECKED = {"uploads": {"checkReferences": "none"}}


@pytest.fixture
def port(run_cluster, tmp_path, request):
    cluster = run_cluster(config=request.param)
    with Balancer(tmp_path / "balancer", cluster) as balancer:
        yield balancer.port


@pytest.mark.timeout(300)
@pytest.mark.parametrize("port", [UNCHECKED], indirect=True, ids=["unchecked"])
@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_everything(port, tmp_path, version):
    check(*run_suite(port, tmp_path, version), at_least=800)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("port", [None], indirect=True, ids=["default"])
@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_as_configured_by_default(port, tmp_path, version):
    check(*run_suite(port, tmp_path, version, **SPARSE), at_least=750)
