"""Time until a client knows that an instance started, left or died, with DNS and with registries."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.registries import embedded_registry, harness, other_registries
from benchmarks.size import FULL, Size
from benchmarks.table import Table, progress, unit
from benchmarks.workers import ROOT, background

__all__ = ["run"]

NOTE = """From the moment at which an instance is registered, deregistered or killed (`kill -9`) until a client that
follows the service knows: the median and the longest, of {services} instances, and of {kills} that are killed. In DNS
the time starts when its server has the new record; the record of a dead instance stays until an operator removes
it. The TTL is the record's. Registries are of one node, with sessions of {session} s.
All of it on one machine."""


class _Followed:
    """A subscription, with the time of its last change."""

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
        """Wait for this number of instances; return the time of that change."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count == count, patience):
                raise TimeoutError(f"{self.service} has {self._count} instances, not {count}")
            return self._at


def run(folder: Path, size: Size = FULL) -> Table:
    """Measure DNS and all registries."""
    note = NOTE.format(services=size.dns_services, kills=size.dns_kills, session=size.dns_session)
    table = Table(
        "Propagation of changes: registries and DNS", ["", "one has come", "one has left", "one has died"], note
    )
    for ttl in size.dns_ttls:
        progress(f"dns with a TTL of {ttl} s")
        come, left = _dns(ttl, size.dns_services)
        table.add(f"`dns://`, TTL {ttl} s", _figures(come), _figures(left), "not at all")
    with ExitStack() as stack:
        embedded, _ = stack.enter_context(embedded_registry("--data", str(folder / "registry.db")))
        others, missing = other_registries(stack, folder)
        if missing:
            table.note += f" Left out: {', '.join(missing)}."
        for name, url in {"embedded": embedded, **others}.items():
            progress(name)
            come, left = _registry(url, size.dns_services)
            url = f"{url}?{'ttl' if name == 'etcd' else 'timeout'}={size.dns_session}"
            died = [_kill(url, size, number) for number in range(size.dns_kills)]
            table.add(f"`{name}://`", _figures(come), _figures(left), _figures(died))
    return table


def _figures(times: Sequence[float]) -> str:
    return f"{unit(statistics.median(times))} (longest {unit(max(times))})"


def _dns(ttl: int, services: int) -> tuple[list[float], list[float]]:
    with harness():
        from dns_server import dns_server

    from idlrt.registry import Registry

    names = [f"s{number}.example.com" for number in range(services)]
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
            time.sleep(ttl / services)  # so that clients do not query at the same moment
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


def _registry(url: str, services: int) -> tuple[list[float], list[float]]:
    from idlrt.core import Instance
    from idlrt.registry import Registry

    come, left = [], []
    with (
        Registry.connect(url, cache=False) as owner,
        Registry.connect(url, cache=False, empty_protection=False) as client,
    ):
        for number in range(services):
            followed = _Followed(client, f"s{number}")
            owner.register(Instance(service=f"s{number}", host="127.0.0.1", port=1)).wait()
            followed.until(1)
            time.sleep(0.1)  # changes that follow each other quickly may be delivered together
            start = time.perf_counter()
            registration = owner.register(Instance(service=f"s{number}", host="127.0.0.1", port=2))
            come.append(followed.until(2) - start)
            registration.wait()
            time.sleep(0.1)
            start = time.perf_counter()
            registration.deregister(0)
            left.append(followed.until(1) - start)
    return come, left


def _kill(url: str, size: Size, number: int) -> float:
    from idlrt.registry import Registry

    command = [sys.executable, str(ROOT / "tests" / "harness" / "churn_owner.py"), url, "owner"]
    with (
        Registry.connect(url, cache=False, empty_protection=False) as client,
        background(command, is_quiet=True) as owner,
    ):
        owner.send("put killed 1 100")
        followed = _Followed(client, "killed")
        followed.until(1)
        # It has sent heartbeats, the last of them sooner or later before the end.
        time.sleep(size.dns_session * (1 / 2 + number / 3 / size.dns_kills))
        owner.kill()
        start = time.perf_counter()
        return followed.until(0) - start
