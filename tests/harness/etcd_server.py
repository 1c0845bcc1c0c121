"""Real etcd servers on free ports of this machine: one, or several that are one cluster."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
from eventually import TIMEOUT, eventually
from fault_proxy import FaultProxy, proxied
from free_ports import free_ports
from programs import not_run

__all__ = ["Cluster", "Etcd", "FaultProxy", "etcd_cluster", "proxied"]

_QUICK: Final = ["--heartbeat-interval", "50", "--election-timeout", "500", "--unsafe-no-fsync"]


def program() -> str:
    """etcd's program; without it the test is skipped, or fails where everything is to be tested."""
    # The one that `tests/real_servers.sh` puts beside Python comes last.
    found = (
        os.environ.get("ETCD") or shutil.which("etcd") or shutil.which("etcd", path=str(Path(sys.executable).parent))
    )
    if found is None:
        not_run("there is no etcd: apt-get install etcd-server")
    return found


def quoted(text: str) -> str:
    """A key or value as the gateway takes it."""
    return base64.b64encode(text.encode()).decode()


class Etcd:
    """One member.

    Attributes:
        port: where clients connect.
        base: the same as a URL.
        token: of the user who looks after it, where it asks for one.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        ports: Sequence[int],
        initial: str,
        options: Sequence[str],
        context: ssl.SSLContext | None,
    ) -> None:
        port, peer_port = ports
        self.port = port
        self.folder = folder / name
        self.base = f"{'https' if context else 'http'}://127.0.0.1:{port}"
        peer = f"http://127.0.0.1:{peer_port}"
        self._command = [
            *(program(), "--name", name, "--data-dir", str(self.folder), "--initial-cluster", initial),
            *("--listen-client-urls", self.base, "--advertise-client-urls", self.base),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--logger", "zap", "--log-level", "error"),
            *_QUICK,
            *options,
        ]
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=self.base, verify=context or False, trust_env=False, timeout=TIMEOUT)
        self.token = ""

    def start(self) -> None:
        """Start it; `wait` tells when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)

    def wait(self) -> None:
        """Wait until it answers."""

        def is_healthy() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"etcd does not come up: {self._log.read_text(errors='replace')[-2000:]}")
            with contextlib.suppress(httpx.HTTPError):
                return self._client.get("/health").json().get("health") in ("true", True)
            return False

        eventually(is_healthy, f"etcd is healthy, see {self._log}")

    def kill(self) -> None:
        """End it, without a goodbye."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def stop(self) -> None:
        """End it as an operator does."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(TIMEOUT)
        self._process = None

    def pause(self) -> None:
        """Pause the server: its connections stay open, without responses."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start it again with what it had, and wait until it answers."""
        self.start()
        self.wait()

    def wipe(self) -> None:
        """Delete what it had."""
        shutil.rmtree(self.folder)

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._client.close()

    def ask(self, path: str, **body: Any) -> Any:
        """Ask it something through the gateway."""
        headers = {"Authorization": self.token} if self.token else {}
        response = self._client.post(f"/v3/{path}", json=body, headers=headers)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text}"
        return response.json()

    def put(self, key: str, value: str) -> None:
        """Write a key."""
        self.ask("kv/put", key=quoted(key), value=quoted(value))

    def keys(self, prefix: str = "/") -> list[str]:
        """The keys that begin with `prefix`."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self.ask("kv/range", key=quoted(prefix), range_end=quoted(end), keys_only=True)
        return [base64.b64decode(each["key"]).decode() for each in found.get("kvs", [])]

    def revision(self) -> int:
        """The store's."""
        return int(self.ask("kv/range", key=quoted("x"))["header"]["revision"])

    def compact(self) -> None:
        """Forget the past."""
        self.ask("kv/compaction", revision=self.revision(), physical=True)

    def watches_begun(self) -> int:
        """Watches that clients have begun since it was started."""
        wanted = 'grpc_server_started_total{grpc_method="Watch",'
        lines = self._client.get("/metrics").text.splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(wanted))

    def leases(self) -> list[str]:
        """The ids of all that there are."""
        return [each["ID"] for each in self.ask("lease/leases").get("leases", [])]

    def revoke_all(self) -> int:
        """End all leases; returns how many there were."""
        found = self.leases()
        for each in found:
            with contextlib.suppress(AssertionError):  # it may have ended by itself just then
                self.ask("lease/revoke", ID=each)
        return len(found)


class Cluster:
    """Some members."""

    def __init__(self, members: list[Etcd]) -> None:
        self.members = members

    @property
    def hosts(self) -> str:
        """As they stand in a URL."""
        return ",".join(f"127.0.0.1:{each.port}" for each in self.members)

    @property
    def url(self) -> str:
        """Of the registry."""
        return f"etcd://{self.hosts}"

    def leader(self) -> Etcd:
        """The one that leads."""

        def leader() -> Etcd | None:
            for each in self.members:
                with contextlib.suppress(httpx.HTTPError, AssertionError):
                    status = each.ask("maintenance/status")
                    if status.get("leader") == status["header"]["member_id"]:
                        return each
            return None

        found = eventually(leader, "one of the members leads")
        assert found is not None
        return found


@contextlib.contextmanager
def etcd_cluster(
    folder: Path, count: int = 1, options: Sequence[str] = (), context: ssl.SSLContext | None = None
) -> Iterator[Cluster]:
    """`count` members, up and answering; ended at the end.

    Args:
        folder: for what they keep.
        options: more of them, for the command.
        context: to look after servers that speak TLS.
    """
    program()
    for attempt in range(5):
        place = folder / f"etcd{attempt}"
        place.mkdir()
        ports = free_ports(2 * count)
        initial = ",".join(f"n{each}=http://127.0.0.1:{ports[2 * each + 1]}" for each in range(count))
        members = [
            Etcd(place, f"n{each}", ports[2 * each : 2 * each + 2], initial, options, context) for each in range(count)
        ]
        try:
            for each in members:
                each.start()
            for each in members:
                each.wait()
        except RuntimeError:
            for each in members:
                each.close()
            if attempt == 4:
                raise
            continue  # another process has taken one of the ports
        try:
            yield Cluster(members)
        finally:
            for each in members:
                each.close()
        return
