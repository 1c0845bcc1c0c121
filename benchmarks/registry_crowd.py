"""One service of the embedded registry with very many instances, and one with very large ones.

    python -m benchmarks.registry_crowd URL COUNT

is a client that follows the service: it prints the seconds until its first complete snapshot, its peak memory in
bytes, and the moment at which it knows of a change (a weight of 1), on the clock that processes share.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from benchmarks.registries import embedded_registry
from benchmarks.size import FULL, Size
from benchmarks.table import Table, progress, unit
from benchmarks.workers import Process, background, python

__all__ = ["run_crowd"]

_TIMEOUT = 120.0
_SERVICE = "crowd"
_LARGE = 65_000
_NOTE = """The embedded registry as one process, with its file on disk, and one service. `registering` is of one client
with all instances. `first snapshot` is of another client that follows the service, from `subscribe` until it has all of
them; `change` is from the beginning of one registration until that client has it. Memory is how much each process has
grown, the client's at its peak."""


def run_crowd(folder: Path, size: Size = FULL) -> Table:
    """Measure a service with many instances, and one with large ones."""
    head = ["", "registering", "memory, registry", "first snapshot", "memory, client", "change"]
    table = Table("One service with a crowd of instances", head, _NOTE)
    rows = (
        (f"{size.crowd_instances:,} ordinary", size.crowd_instances, 0),
        (f"{size.crowd_large} of 65 kB", size.crowd_large, _LARGE),
    )
    for name, count, metadata in rows:
        progress(f"a crowd: {name}")
        table.add(name, *_measure(folder / f"crowd{count}.db", count, metadata))
    return table


def _measure(data: Path, count: int, metadata: int) -> list[str]:
    from idlrt.core import Instance
    from idlrt.registry import Registry

    def instance(number: int) -> Instance:
        return Instance(
            service=_SERVICE,
            host="10.0.0.1",
            port=9090,
            id=f"10.0.{number % 250}.1:{number}",
            zone="eu-1",
            version="1.2.3",
            tags={"team": "payments"},
            metadata={"large": "x" * metadata} if metadata else {},
        )

    with (
        embedded_registry("--data", str(data)) as (url, registry),
        Registry.connect(f"{url}?timeout=60", cache=False, timeout=_TIMEOUT) as owner,
    ):
        owner.services()  # so that it is connected
        before = _resident(registry.pid)
        start = time.perf_counter()
        registrations = [owner.register(instance(number)) for number in range(count)]
        for each in registrations:
            each.wait()
        took = time.perf_counter() - start
        grown = _resident(registry.pid) - before
        command = python("benchmarks.registry_crowd", url, str(count))
        with background(command) as client:
            seconds, peak = (float(each) for each in client.first.split())
            at = _change(registrations[count // 2], client)
    return [unit(took), _mebibytes(grown), unit(seconds), _mebibytes(peak), unit(at)]


def _change(registration: object, client: Process) -> float:
    from idlrt.registry import Registration

    assert isinstance(registration, Registration)
    start = time.monotonic()
    registration.update(weight=1)
    return float(client.read_line()) - start


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peak() -> int:
    """Bytes of this process. `getrusage` begins with the peak of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) * 1024 for each in lines if each.startswith("VmHWM"))


def _mebibytes(size: float) -> str:
    return f"{size / 1024 / 1024:.0f} MiB"


def main(url: str, count: int) -> None:
    from idlrt.core import Change
    from idlrt.registry import Registry

    is_there, is_known = threading.Event(), threading.Event()
    known_at = 0.0

    def heard(change: Change) -> None:
        nonlocal known_at
        if len(change.snapshot.instances) == count:
            is_there.set()
        if any(each.weight == 1 for each in change.updated):
            known_at = time.monotonic()
            is_known.set()

    with Registry.connect(url, cache=False, timeout=_TIMEOUT) as registry:
        registry.services()  # so that it is connected
        before = _resident(os.getpid())
        start = time.perf_counter()
        subscription = registry.subscribe(_SERVICE)
        subscription.listen(heard)
        if not is_there.wait(_TIMEOUT):
            raise TimeoutError(f"no snapshot of {count} instances within {_TIMEOUT:g} s: {subscription.last_error}")
        took = time.perf_counter() - start
        print(took, _peak() - before, flush=True)
        if not is_known.wait(_TIMEOUT):
            raise TimeoutError(f"no change within {_TIMEOUT:g} s")
        print(known_at, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
