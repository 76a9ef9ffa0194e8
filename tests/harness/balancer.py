"""A load balancer for clients that know one address: each request goes to the next
replica.

    with Balancer(tmp_path / "balancer", cluster) as balancer:
        run_a_client_against(f"127.0.0.1:{balancer.port}")
"""

import sys

from fakes.ports import free_port
from harness.client import Client
from harness.daemon import Daemon
from harness.fault_proxy import TESTS


class Balancer(Daemon):
    name = "balancer"

    def __init__(self, folder, cluster):
        super().__init__(folder)
        self.port = free_port()
        self.targets = [replica.port for replica in cluster.replicas]

    def command(self):
        return [sys.executable, "-m", "harness.balancer_server", self.port, *self.targets]

    def environment(self):
        return {"PYTHONPATH": str(TESTS)}

    def client(self, timeout=60):
        return Client("127.0.0.1", self.port, timeout)

    def ready(self):
        with self.client(5) as client:
            return client.get("/v2/").status == 200
