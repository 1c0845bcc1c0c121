"""The pages `/hosts` and `/host`: hosts with their programs, and what each has of CPU, memory, disk and network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from idlrt.collector.pages.context import PageContext
from idlrt.collector.pages.figures import CALLS, title_of
from idlrt.collector.pages.number_plots import number_plot
from idlrt.collector.pages.overview import last_of
from idlrt.collector.pages.period import Period, period_of, view_state
from idlrt.collector.pages.programs_table import instance_table
from idlrt.collector.pages.view import CALL_COLUMNS, Section, View, href, mark_table, page, paged
from idlrt.protocol.http.pages import HttpRequest, HttpResponse
from idlrt.web import Column, Line, Link, Mark, Parameter, Table, TimePlot
from idlrt.web.formats import Unit

__all__ = ["host_page", "hosts_page"]

_HOSTS: Final = (
    Column(key="host", title="Host"),
    Column(key="zone", title="Zone"),
    Column(key="programs", title="Programs", unit="number"),
    Column(key="cpu", title="CPU of programs", unit="rate", help="CPU seconds per second of all programs that report"),
    Column(key="memory", title="Memory of programs", unit="bytes"),
    *CALL_COLUMNS,
)
# Metric with title, whether by instance, unit, and labels.
_PLOTS: Final[tuple[tuple[str, str, Unit, tuple[tuple[str, str], ...], tuple[str, ...]], ...]] = (
    ("cpu", "CPU of programs, in cores", "rate", (("process_cpu_seconds_total", ""),), ("instance",)),
    ("memory", "Resident memory of programs", "bytes", (("process_resident_memory_bytes", ""),), ("instance",)),
    ("threads", "Threads of programs", "number", (("process_threads", ""),), ("instance",)),
    ("files", "Open files of programs", "number", (("process_open_fds", ""),), ("instance",)),
    (
        "io",
        "Storage of programs, bytes per second",
        "bytes",
        (("process_io_read_bytes_total", "read"), ("process_io_write_bytes_total", "write")),
        ("instance",),
    ),
    (
        "network",
        "Network of the host, bytes per second",
        "bytes",
        (("system_network_receive_bytes_total", "received"), ("system_network_transmit_bytes_total", "sent")),
        (),
    ),
    (
        "disk",
        "Disks of the host, bytes per second",
        "bytes",
        (("system_disk_read_bytes_total", "read"), ("system_disk_written_bytes_total", "written")),
        (),
    ),
    ("host-memory", "Memory of the host", "bytes", (("system_memory_bytes", ""),), ("state",)),
    ("collections", "Garbage collections per second", "rate", (("python_gc_collections_total", ""),), ("instance",)),
    (
        "switches",
        "Context switches of programs per second",
        "rate",
        (("process_context_switches_total", ""),),
        ("instance", "type"),
    ),
)
_DURATIONS: Final = (
    ("lag", "Delay of event loops, p99", "rpc_loop_lag_seconds"),
    ("pauses", "Pauses of garbage collections, p99", "python_gc_pause_seconds"),
)


def hosts_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of all hosts."""
    state = view_state(request, Parameter("filter"), Parameter("sort"), Parameter("page"))
    period = period_of(state)
    reader = context.reader
    calls = {each.key[0]: each for each in reader.totals(CALLS, period, ("host",))}
    cpu = {
        key[0]: value / period.seconds
        for key, value in reader.sums("process_cpu_seconds_total", period, ("host",)).items()
    }
    memory = {key[0]: value for key, value in reader.sums("process_resident_memory_bytes", period, ("host",)).items()}
    zones: dict[str, set[str]] = {}
    programs: dict[str, int] = {}
    for each in context.programs.all():
        host = each.resource.get("host", "")
        zones.setdefault(host, set()).add(each.resource.get("zone", ""))
        programs[host] = programs.get(host, 0) + (each.state == "live")
    wanted = state["filter"].casefold()
    rows: list[Mapping[str, Any]] = []
    for name in sorted({*calls, *cpu, *programs}):
        if wanted not in name.casefold():
            continue
        rows.append(
            {
                **(calls[name].row() if name in calls else {}),
                "host": Link(name or "unknown", href("host", host=name, last=last_of(state), end=state["end"])),
                "zone": ", ".join(sorted(each for each in zones.get(name, ()) if each)),
                "programs": programs.get(name, 0),
                "cpu": cpu.get(name),
                "memory": memory.get(name),
            }
        )
    table = Table(
        id="hosts",
        caption="Hosts",
        columns=_HOSTS,
        rows=rows,
        sort=state["sort"],
        empty="no host matches the filter" if calls or cpu else "no program has pushed in this period",
    )
    marks = context.marks_of(period)
    plots = _plots(
        context,
        period,
        marks,
        (
            ("cpu", "CPU of programs by host, in cores", "rate", "process_cpu_seconds_total"),
            ("memory", "Resident memory of programs by host", "bytes", "process_resident_memory_bytes"),
        ),
    )
    return page(
        context,
        request,
        state,
        period,
        View(title="Hosts", plots=plots, sections=[paged("Hosts", table, state)], filter="Filter hosts"),
    )


def _plots(
    context: PageContext, period: Period, marks: Sequence[Mark], wanted: tuple[tuple[str, str, Unit, str], ...]
) -> list[TimePlot]:
    found = [
        number_plot(context.reader, period, marks, id=id, title=title, unit=unit, metrics=[(metric, "")], by=("host",))
        for id, title, unit, metric in wanted
    ]
    return [each for each in found if each is not None]


def host_page(context: PageContext, request: HttpRequest) -> HttpResponse:
    """Return the page of one host: its programs, and their and its load."""
    state = view_state(request, Parameter("host"), Parameter("instance"), Parameter("instances"), Parameter("page"))
    host, instance = state["host"], state["instance"]
    if not host:
        return page(context, request, state, None, View(title="Unknown", problem="The URL names no host."))
    period = period_of(state)
    where = {"host": host, **({"instance": instance} if instance else {})}
    reader = context.reader
    marks = context.marks_of(period)
    plots: list[TimePlot] = []
    for id, title, unit, metrics, by in _PLOTS:
        found = number_plot(
            reader, period, marks, id=id, title=title, unit=unit, metrics=metrics, by=by, where=where, limit=10
        )
        if found is not None:
            plots.append(found)
    for id, title, metric in _DURATIONS:
        numbers = reader.percentiles(metric, period, ("instance",), where, quantile=0.99)
        if numbers.groups:
            shown = [Line(title_of(key), values) for key, values in numbers.groups]
            plots.append(
                TimePlot(
                    id=id,
                    title=title,
                    unit="duration",
                    start=numbers.start,
                    step=numbers.step,
                    lines=shown,
                    marks=marks,
                )
            )
    programs = [each for each in context.programs.all() if each.resource.get("host", "") == host]
    figures = reader.totals(CALLS, period, ("instance", "host", "zone", "version"), where)
    sections: list[Section] = [
        paged("Programs", instance_table(figures, programs, state, lambda name: state.link(instance=name)), state),
        mark_table(marks),
    ]
    return page(
        context,
        request,
        state,
        period,
        View(
            title=f"Host {host}",
            filters=[(f"instance {instance}", state.link(instance=""))] if instance else (),
            plots=plots,
            sections=sections,
            problem="" if plots or programs else f"{host} has reported nothing in this period.",
        ),
    )
