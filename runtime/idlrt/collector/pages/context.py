"""Sources of the pages: the store, programs, marks, traces, and the load of the collector itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from idlrt.collector.marks import Marks
from idlrt.collector.pages.period import Period
from idlrt.collector.pages.reader import Reader
from idlrt.collector.pages.watch import Watch
from idlrt.collector.programs import Programs
from idlrt.web import Mark

if TYPE_CHECKING:
    from idlrt.collector.alerts import Alerts
    from idlrt.collector.registry_marks import RegistryMarks
    from idlrt.collector.store import CellStore
    from idlrt.collector.trace_keeper import TraceKeeper
    from idlrt.collector.writer import Writer

__all__ = ["PageContext"]

_MAX_MARKS: Final = 100


class PageContext:
    """Sources of the pages.

    Attributes:
        store: cells.
        reader: figures from the store.
        programs: programs that push.
        marks: what happened.
        traces: traces.
        writer: the writer, for its load.
        watch: whether a browser shows live pages.
        registry: the registry, for settings; `None` without one.
        alerts: alerts; `None` without rules.
        started_at: start of the collector, in seconds since 1970.
    """

    def __init__(
        self,
        store: CellStore,
        programs: Programs,
        marks: Marks,
        traces: TraceKeeper,
        writer: Writer,
        watch: Watch,
        registry: RegistryMarks | None = None,
        alerts: Alerts | None = None,
    ) -> None:
        self.store = store
        self.reader = Reader(store)
        self.programs = programs
        self.marks = marks
        self.traces = traces
        self.writer = writer
        self.watch = watch
        self.registry = registry
        self.alerts = alerts
        self.started_at = time.time()

    def marks_of(self, period: Period, *services: str) -> Sequence[Mark]:
        """Return the marks of a period for plots, of some services or of all.

        Those of all have the names of services, and no instances that came or went, which large systems always have.

        Args:
            period: the period.
            services: names of programs, and of services in the registry.
        """
        names = {each for each in services if each}
        found = self.marks.between(period.start, period.end, names, has_instances=bool(names), limit=_MAX_MARKS)
        prefix = "" if names else "{}: "
        return [Mark(each.at, (prefix.format(each.service) if each.service else "") + each.text) for each in found]
