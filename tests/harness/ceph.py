"""Ceph's S3 gateway on a cluster of one monitor and one store in memory.

Everything Ceph wants at least is here and nothing more: no manager, no
replication. It is up in some twenty seconds.
"""

import subprocess
import uuid

from fakes.ports import free_port
from harness.backends import S3Server
from harness.daemon import Daemon, wait_until

# cephx stays on: a gateway without a key of its own waits for ever.
CONFIG = """\
[global]
fsid = {fsid}
mon initial members = a
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
run dir = {folder}
log file = {folder}/$name.ceph.log
admin socket = {folder}/$name.asok
pid file =
keyring = {folder}/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon warn on pool no redundancy = false
mon data avail crit = 0
mon data avail warn = 0
auth allow insecure global id reclaim = false
[mon]
mon data = {folder}/mon
mon cluster log file = {folder}/cluster.log
[osd]
osd data = {folder}/osd
keyring = {folder}/osd/keyring
osd objectstore = memstore
memstore device bytes = 8589934592
osd class update on start = true
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw enable usage log = false
rgw data = {folder}/rgw
keyring = {folder}/rgw/keyring
"""


class CephDaemon(Daemon):
    def __init__(self, cluster, name, command, ready):
        self.name = name
        super().__init__(cluster.folder)
        self._command, self._ready = command, ready
        self.config_file = cluster.config_file

    def command(self):
        return [*self._command, "-c", self.config_file, "-f", "--setuser", "root", "--setgroup", "root"]

    def ready(self):
        return self._ready()


class Gateway(S3Server):
    """kill(), pause() and the like are the gateway's; the cluster stays up behind it."""

    name = "radosgw"

    def __init__(self, folder):
        super().__init__(folder)
        self.config_file = self.folder / "ceph.conf"
        self.fsid = str(uuid.uuid4())
        self.monitor = CephDaemon(self, "ceph-mon", ["ceph-mon", "-i", "a"], self._monitor_answers)
        self.store = CephDaemon(self, "ceph-osd", ["ceph-osd", "-i", "0"], self._store_is_up)

    # The cluster

    def _run(self, *command):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False,
                              timeout=60, cwd=self.folder)
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _ceph(self, *words):
        return self._run("ceph", "-c", self.config_file, "--connect-timeout", "20", *words)

    def _monitor_answers(self):
        return subprocess.run(["ceph", "-c", str(self.config_file), "--connect-timeout", "2", "mon", "stat"],
                              capture_output=True, check=False, timeout=30).returncode == 0

    def _store_is_up(self):
        return "1 up" in self._ceph("osd", "stat")

    def _make_cluster(self):
        keyring, monmap = self.folder / "keyring", self.folder / "monmap"
        v2, v1 = free_port(), free_port()
        self.config_file.write_text(CONFIG.format(fsid=self.fsid, v2=v2, v1=v1, port=self.port,
                                                  folder=self.folder))
        for folder in ("mon", "osd", "rgw"):
            (self.folder / folder).mkdir()
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.",
                  "--cap", "mon", "allow *")
        self._run("ceph-authtool", keyring, "--gen-key", "-n", "client.admin", "--cap", "mon", "allow *",
                  "--cap", "osd", "allow *", "--cap", "mds", "allow *", "--cap", "mgr", "allow *")
        self._run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a",
                  f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]", monmap)
        self._run("ceph-mon", "-c", self.config_file, "--mkfs", "-i", "a", "--monmap", monmap,
                  "--keyring", keyring)

    def _key(self, name, keyring, *caps):
        keyring.write_text(self._ceph("auth", "get-or-create", name, *caps))

    def _make_store(self):
        # Both sides must know the store by one name, or its boot is ignored without a word.
        name = str(uuid.uuid4())
        self._ceph("osd", "new", name)
        self._key("osd.0", self.folder / "osd/keyring",
                  "mon", "allow profile osd", "osd", "allow *", "mgr", "allow profile osd")
        self._run("ceph-osd", "-c", self.config_file, "-i", "0", "--mkfs", "--osd-uuid", name,
                  "--setuser", "root", "--setgroup", "root")

    def _make_user(self):
        self._key("client.rgw", self.folder / "rgw/keyring", "mon", "allow rwx", "osd", "allow rwx")
        self._run("radosgw-admin", "-c", self.config_file, "user", "create", "--uid", "tests",
                  "--display-name", "tests", "--access-key", self.access_key,
                  "--secret", self.secret_key, "--max-buckets", "10000")

    # The gateway

    def command(self):
        return ["radosgw", "-n", "client.rgw", "-c", self.config_file,
                "-f", "--setuser", "root", "--setgroup", "root"]

    def prepare(self):
        if self.monitor.running:
            return
        try:
            self._make_cluster()
            self.monitor.start()
            self._make_store()
            self.store.start()
            self._make_user()
        except BaseException:
            self._stop_cluster()
            raise

    def start(self, wait=True):
        try:
            return super().start(wait)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout=20):
        super().stop(timeout)
        self._stop_cluster()

    def restart(self):
        """The gateway's, on the same cluster."""
        super().stop()
        return self.start()

    def _stop_cluster(self):
        # All its data is in memory: there is nothing to be orderly about.
        self.store.kill()
        self.monitor.kill()
