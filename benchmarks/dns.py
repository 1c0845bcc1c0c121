"""How soon a client hears that an instance has come, left or died: from DNS, and from registries."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.table import Table, progress, unit

__all__ = ["run"]

HARNESS = Path(__file__).parents[1] / "tests" / "harness"
SERVICES = 20
KILLS = 5

NOTE = f"""From the moment at which an instance is registered, deregistered or killed (`kill -9`) until a client that
follows the service knows: the median and the longest, of {SERVICES} instances, and of {KILLS} that are killed. In DNS
the same moments are those at which its server has the new record; nobody takes the record of a dead instance away, if
no operator does. The TTL is the record's. Registries are of one node, with their sessions as they are by default (6 s).
All of it on one machine."""


class _Followed:
    """A service that is followed: when it last was what it is to be."""

    def __init__(self, registry: object, service: str) -> None:
        from idlrt.core import Change
        from idlrt.registry import Registry

        assert isinstance(registry, Registry)
        self.service = service
        self._count = 0
        self._at = 0.0
        self._changed = threading.Condition()

        def heard(change: Change) -> None:
            with self._changed:
                self._count, self._at = len(change.snapshot.instances), time.perf_counter()
                self._changed.notify_all()

        registry.subscribe(service).listen(heard)

    def until(self, count: int, patience: float = 60.0) -> float:
        """When it had so many instances."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count == count, patience):
                raise TimeoutError(f"{self.service} has {self._count} instances, not {count}")
            return self._at


def run(folder: Path) -> Table:
    """All kinds."""
    table = Table("What a registry tells sooner than DNS", ["", "one has come", "one has left", "one has died"], NOTE)
    sys.path.insert(0, str(HARNESS))
    try:
        for ttl in (1, 30):
            progress(f"dns with a TTL of {ttl} s")
            come, left = _dns(ttl)
            table.add(f"`dns://`, TTL {ttl} s", _figures(come), _figures(left), "not at all")
        with ExitStack() as stack:
            for name, url in _registries(stack, folder).items():
                progress(name)
                come, left = _registry(url)
                table.add(
                    f"`{name}://`",
                    _figures(come),
                    _figures(left),
                    _figures([_kill(url, number) for number in range(KILLS)]),
                )
    finally:
        sys.path.remove(str(HARNESS))
    return table


def _figures(times: Sequence[float]) -> str:
    return f"{unit(statistics.median(times))} (longest {unit(max(times))})"


def _dns(ttl: int) -> tuple[list[float], list[float]]:
    from dns_server import dns_server  # type: ignore[import-not-found]

    from idlrt.registry import Registry

    names = [f"s{number}.example.com" for number in range(SERVICES)]
    with (
        dns_server() as server,
        Registry.connect(f"dns://127.0.0.1:{server.port}/?port=9090", cache=False, empty_protection=False) as registry,
    ):

        def set_all(*addresses: str) -> Callable[[], object]:
            def change() -> None:
                for name in names:
                    server.set(name, "A", *addresses, ttl=ttl)

            return change

        set_all("127.0.0.1")()
        followed = []
        for name in names:
            followed.append(_Followed(registry, name))
            time.sleep(ttl / SERVICES)  # nobody asks at the same moment as the others
        return (
            _until(followed, 2, set_all("127.0.0.1", "127.0.0.2"), ttl),
            _until(followed, 1, set_all("127.0.0.1"), ttl),
        )


def _until(followed: Sequence[_Followed], count: int, change: Callable[[], object], ttl: int) -> list[float]:
    for each in followed:
        each.until(3 - count)
    time.sleep(ttl / 2)
    start = time.perf_counter()
    change()
    return [each.until(count) - start for each in followed]


def _registries(stack: ExitStack, folder: Path) -> dict[str, str]:
    """The URLs of one of each kind."""
    from etcd_server import etcd_cluster  # type: ignore[import-not-found]
    from registry_process import registry_process  # type: ignore[import-not-found]
    from zookeeper_server import running_zookeeper  # type: ignore[import-not-found]

    embedded = stack.enter_context(registry_process(folder / "registry.db"))
    zookeeper = stack.enter_context(running_zookeeper(folder / "zookeeper"))
    etcd = stack.enter_context(etcd_cluster(folder))
    return {"embedded": embedded.url, "zookeeper": f"zookeeper://{zookeeper.address}", "etcd": etcd.url}


def _registry(url: str) -> tuple[list[float], list[float]]:
    from idlrt.core import Instance
    from idlrt.registry import Registry

    come, left = [], []
    with (
        Registry.connect(url, cache=False) as owner,
        Registry.connect(url, cache=False, empty_protection=False) as client,
    ):
        for number in range(SERVICES):
            followed = _Followed(client, f"s{number}")
            owner.register(Instance(service=f"s{number}", host="127.0.0.1", port=1)).wait()
            followed.until(1)
            time.sleep(0.1)  # news that follow each other quickly may be told together
            start = time.perf_counter()
            registration = owner.register(Instance(service=f"s{number}", host="127.0.0.1", port=2))
            come.append(followed.until(2) - start)
            registration.wait()
            time.sleep(0.1)
            start = time.perf_counter()
            registration.deregister(0)
            left.append(followed.until(1) - start)
    return come, left


def _kill(url: str, number: int) -> float:
    from idlrt.registry import Registry

    command = [sys.executable, str(HARNESS / "churn_owner.py"), url, "owner"]
    with (
        Registry.connect(url, cache=False, empty_protection=False) as client,
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as owner,
    ):
        assert owner.stdin is not None
        owner.stdin.write("put killed 1 100\n")
        owner.stdin.flush()
        followed = _Followed(client, "killed")
        followed.until(1)
        time.sleep(3 + number * 2 / KILLS)  # it has sent heartbeats, the last of them sooner or later before the end
        owner.kill()
        start = time.perf_counter()
        return followed.until(0) - start
