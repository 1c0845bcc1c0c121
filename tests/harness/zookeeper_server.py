"""Real ZooKeeper servers, one or three, on free ports of this machine; gone when their `with` ends.

Debian's packages `zookeeper` and `default-jre-headless`; the jar is looked for in `$ZOOKEEPER_JAR`, too.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from eventually import TIMEOUT, eventually
from free_ports import free_port, free_ports
from programs import not_run

__all__ = [
    "TICK",
    "Ensemble",
    "ZooKeeper",
    "plain_client",
    "require_zookeeper",
    "running_ensemble",
    "running_zookeeper",
    "tell",
]

# Milliseconds. Sessions are from 2 of them on.
TICK: Final = 200
_JAR: Final = Path("/usr/share/java/zookeeper.jar")
# Has a server end with the tests even when they are killed.
_LEASH: Final = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def require_zookeeper() -> tuple[str, Path]:
    """Java and the jar; skips the test where they are not, or fails if everything is to be tested."""
    java = shutil.which("java")
    jar = Path(os.environ.get("ZOOKEEPER_JAR") or _JAR)
    if java is None or not jar.exists():
        not_run(f"there is no {'java' if java is None else jar}: apt-get install zookeeper default-jre-headless")
    return java, jar


def tell(figures: str) -> None:
    """Show what was measured, to who asks for it with `-rA` or `-s`."""
    print(figures)


class ZooKeeper:
    """One server.

    Attributes:
        port: where clients connect.
    """

    def __init__(self, folder: Path, port: int, number: int = 0, peers: tuple[str, ...] = ()) -> None:
        self.port = port
        self._java, self._jar = require_zookeeper()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir(parents=True)
        settings = [
            f"tickTime={TICK}",
            "initLimit=25",
            "syncLimit=10",
            f"dataDir={folder}/data",
            f"clientPort={port}",
            "clientPortAddress=127.0.0.1",
            "admin.enableServer=false",
            "4lw.commands.whitelist=*",
            f"minSessionTimeout={2 * TICK}",
            "maxSessionTimeout=600000",
            "maxClientCnxns=0",
            "quorumListenOnAllIPs=false",
            # Dropping what the machine loses with its power is no concern here.
            "forceSync=no",
            *peers,
        ]
        (folder / "zoo.cfg").write_text("\n".join(settings) + "\n")
        if peers:
            (folder / "data" / "myid").write_text(str(number))

    @property
    def address(self) -> str:
        """As `host:port`."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; returns before it is ready."""
        assert self._process is None
        options = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.jmx.log4j.disable=true"]
        options += ["-Dzookeeper.forceSync=no"]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_LEASH, self._java, *options, "-cp", str(self._jar), main, str(self._folder / "zoo.cfg")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it at once, as a machine that loses its power does."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(TIMEOUT)

    @property
    def mode(self) -> str:
        """`standalone`, `leader`, `follower`; empty if it does not serve."""
        with suppress(OSError):
            # A server that is starting may take a connection and never answer: ask again.
            for line in self.ask("srvr", timeout=1.0).splitlines():
                if line.startswith("Mode: "):
                    return line.removeprefix("Mode: ")
        return ""

    def ask(self, command: str, *, timeout: float = TIMEOUT) -> str:
        """Return the output of a four-letter command.

        Raises:
            OSError: it does not serve.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            connection.sendall(command.encode())
            answer = b""
            while data := connection.recv(4096):
                answer += data
        return answer.decode(errors="replace")

    def sessions(self) -> list[str]:
        """Sessions that have not ended."""
        listed = self.ask("dump").partition("ephemeral nodes dump")[0]
        return [line.strip() for line in listed.splitlines() if line.strip().startswith("0x")]

    def watches(self, id: int) -> list[str]:
        """Paths that a session watches."""
        found: dict[str, list[str]] = {}
        paths: list[str] = []
        for line in self.ask("wchc").splitlines():
            if line.startswith("0x"):
                paths = found.setdefault(line.strip(), [])
            elif line.strip():
                paths.append(line.strip())
        return found.get(f"0x{id:x}", [])

    def wait(self) -> str:
        """Wait until it serves."""

        def mode() -> str:
            assert self._process is None or self._process.poll() is None, (self._folder / "log").read_text()
            return self.mode

        return eventually(mode, f"ZooKeeper serves, see {self._folder / 'log'}")


class Ensemble:
    """Three servers."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(9)
        peers = tuple(f"server.{each}=127.0.0.1:{ports[each * 2 + 1]}:{ports[each * 2 + 2]}" for each in (1, 2, 3))
        self.servers = [ZooKeeper(folder / str(each), ports[each - 1], each, peers) for each in (1, 2, 3)]

    @property
    def hosts(self) -> str:
        """All, as they stand in a URL."""
        return ",".join(each.address for each in self.servers)

    @property
    def leader(self) -> ZooKeeper:
        """The one that leads, waited for."""

        def leader() -> ZooKeeper | None:
            return next((each for each in self.servers if each.mode == "leader"), None)

        found = eventually(leader, "one of the servers leads")
        assert found is not None
        return found


@contextmanager
def plain_client(address: str) -> Iterator[Any]:
    """kazoo's own client, connected."""
    from kazoo.client import KazooClient

    client: Any = KazooClient(address, timeout=TIMEOUT)
    client.start(timeout=TIMEOUT)
    try:
        yield client
    finally:
        client.stop()
        client.close()


@contextmanager
def running_zookeeper(folder: Path) -> Iterator[ZooKeeper]:
    """One server that serves."""
    server = ZooKeeper(folder, free_port())
    try:
        server.start()
        server.wait()
        yield server
    finally:
        server.kill()


@contextmanager
def running_ensemble(folder: Path) -> Iterator[Ensemble]:
    """Three servers that serve."""
    ensemble = Ensemble(folder)
    try:
        for each in ensemble.servers:
            each.start()
        for each in ensemble.servers:
            each.wait()
        yield ensemble
    finally:
        for each in ensemble.servers:
            each.kill()


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """A server that a worker's tests share: begun when the first one needs it. It is not to be killed."""
    with running_zookeeper(tmp_path_factory.mktemp("zookeeper") / "server") as server:
        yield server
