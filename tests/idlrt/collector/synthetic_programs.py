"""Programs that do not exist, whose packets a collector takes for those of real ones."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Mapping

from idlrt.collector.api import Packet, Sender
from idlrt.collector.packets import packets_of
from idlrt.observe.catalogue import SERVER_CALLS
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels, Metric, Series, Value
from idlrt.observe.snapshot import Snapshot

Calls = Mapping[Labels, list[int]]


class SyntheticProgram:
    """A program that counts calls that were never made.

    Args:
        service: its name.
        instance: name of the process.
        core: core services that it serves.
        resource: further values of its identity.
    """

    def __init__(self, service: str, instance: str = "", core: tuple[str, ...] = (), **resource: str) -> None:
        identity = {"service": service, "instance": instance or f"{service}-1", "host": "host-1", **resource}
        self.sender = Sender(id=random.getrandbits(62), started_at=time.time() - 1, resource=identity)
        self.core = frozenset(core)
        self.durations: dict[Labels, list[int]] = {}
        self.numbers: dict[Metric, dict[Labels, float]] = {}
        self._sequences = itertools.count(1)

    def calls(
        self, method: str, durations: list[int], *, status: str = "ok", error: str = "", caller: str = ""
    ) -> None:
        """Count calls, by their durations in nanoseconds."""
        self.durations.setdefault((method, status, error, caller), []).extend(durations)

    def packets(self, *, at: float | None = None, is_last: bool = False) -> list[Packet]:
        """Return what it has counted so far."""
        histograms: dict[Labels, Value] = {labels: Histogram.of(each) for labels, each in self.durations.items()}
        series = {SERVER_CALLS.name: Series(SERVER_CALLS, histograms)}
        for metric, values in self.numbers.items():
            series[metric.name] = Series(metric, dict(values))
        now = time.time() if at is None else at
        snapshot = Snapshot(at=now, started_at=self.sender.started_at, core=self.core, series=series)
        return packets_of(snapshot, self.sender, self._sequences, size=1 << 20, is_last=is_last)
