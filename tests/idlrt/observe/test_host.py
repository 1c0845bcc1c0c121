"""Figures of the host, with psutil and without."""

from __future__ import annotations

import sys

import psutil
import pytest
from measured import counts

from idlrt.observe.host import HOST_METRICS, HostFigures, host_figures
from idlrt.observe.metric import merged


def test_figures_of_the_host() -> None:
    figures = host_figures()
    assert figures is not None
    series = list(figures.read())
    times = counts(series, "system_cpu_seconds_total")
    assert times[("user",)] > 0
    assert ("guest",) not in times
    memory = counts(series, "system_memory_bytes")
    assert 0 < memory[("available",)] <= memory[("total",)] == psutil.virtual_memory().total
    assert {each.metric.name for each in series} <= {each.name for each in HOST_METRICS}
    assert counts(series, "system_network_receive_bytes_total")[()] >= 0


def test_without_psutil_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert host_figures() is None


def test_a_machine_without_disks_and_interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    monkeypatch.setattr(psutil, "net_io_counters", lambda: None)
    names = {each.metric.name for each in HostFigures(psutil).read()}
    assert names == {"system_cpu_seconds_total", "system_memory_bytes"}


def test_processes_of_a_host_have_the_same_figures_which_are_not_added() -> None:
    figures = host_figures()
    assert figures is not None
    series = list(figures.read())
    assert merged([*series, *series, *series]) == series
