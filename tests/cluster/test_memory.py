"""What pushes to an object store elsewhere cost in memory."""

from fakes import images
from harness.push import Repository
from harness.server import in_parallel

PART = 5 << 20
PUSHES = 6
IN_FLIGHT = 8       # parts of all pushes, as s3_store.h has it


def test_it_is_bounded_by_parts_in_flight(run_cluster):
    """A part for each push and one for each on its way, and after that they are free."""
    replica = run_cluster(size=1, s3={"partSize": PART}).replicas[0]
    before = replica.peak_memory()
    for turn in range(4):
        contents = [images.random_bytes(40 << 20, PUSHES * turn + number) for number in range(PUSHES)]
        in_parallel([lambda content=content: Repository(replica, "team/app").push_blob(content)
                     for content in contents])
    assert replica.peak_memory() - before < (PUSHES + IN_FLIGHT) * PART + (24 << 20)
    assert replica.memory() - before < 24 << 20
