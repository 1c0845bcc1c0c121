"""Base figures of a process, as the system tells them, and where it does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from measured import counts

from idlrt.observe import PROCESS
from idlrt.observe.exposition import exposition, families
from idlrt.observe.process import PROCESS_METRICS, ProcessFigures, watch_process

has_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="NOT RUN: there is no /proc here")

# What does not need /proc.
EVERYWHERE = {
    "process_cpu_seconds_total",
    "process_context_switches_total",
    "process_threads",
    "process_start_time_seconds",
    "process_max_fds",
    "python_info",
}


def value(name: str, figures: ProcessFigures | None = None) -> float:
    return counts((figures or ProcessFigures()).read(), name)[()]


@has_proc
def test_figures_are_those_of_this_process() -> None:
    assert 1 << 20 < value("process_resident_memory_bytes") < value("process_virtual_memory_bytes")
    assert 0 < value("process_start_time_seconds") <= time.time()
    assert value("process_threads") >= 1
    before = value("process_cpu_seconds_total")
    sum(range(10**6))
    assert value("process_cpu_seconds_total") > before
    assert set(counts(ProcessFigures().read(), "process_context_switches_total")) == {("voluntary",), ("involuntary",)}


@has_proc
def test_descriptors_are_counted(tmp_path: Path) -> None:
    before = value("process_open_fds")
    with (tmp_path / "file").open("w"):
        assert value("process_open_fds") == before + 1
    assert value("process_max_fds") > before


def test_a_system_without_proc_tells_less(tmp_path: Path) -> None:
    figures = ProcessFigures(tmp_path / "none", tmp_path)
    assert {each.metric.name for each in figures.read()} == EVERYWHERE
    assert value("process_threads", figures) >= 1
    assert 0 < value("process_start_time_seconds", figures) <= time.time()


def written(folder: Path, **files: str) -> ProcessFigures:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return ProcessFigures(folder / "proc/self", folder / "cgroup")


def test_io_and_network_are_read(tmp_path: Path) -> None:
    figures = written(
        tmp_path,
        proc__self__io="rchar: 9\nread_bytes: 4096\nwrite_bytes: 512\n",
        proc__self__net__netstat="TcpExt: A\nTcpExt: 1\nIpExt: InOctets OutOctets\nIpExt: 70 30\n",
    )
    assert value("process_io_read_bytes_total", figures) == 4096
    assert value("process_io_write_bytes_total", figures) == 512
    assert value("process_network_receive_bytes_total", figures) == 70
    assert value("process_network_transmit_bytes_total", figures) == 30


def test_the_smallest_limit_of_all_control_groups_counts(tmp_path: Path) -> None:
    figures = written(
        tmp_path,
        proc__self__cgroup="0::/pod/app\n",
        cgroup__pod__memory_dot_max="1000\n",
        cgroup__pod__app__memory_dot_max="max\n",
    )
    assert value("process_memory_limit_bytes", figures) == 1000


def test_control_groups_of_version_1(tmp_path: Path) -> None:
    figures = written(
        tmp_path,
        proc__self__cgroup="5:cpu,cpuacct:/x\n4:memory:/on/the/host\n",
        cgroup__memory__memory_dot_limit_in_bytes="2000\n",
    )
    assert value("process_memory_limit_bytes", figures) == 2000
    unlimited = written(tmp_path, cgroup__memory__memory_dot_limit_in_bytes="9223372036854771712\n")
    assert counts(unlimited.read(), "process_memory_limit_bytes") == {}


def test_figures_are_read_with_all_others_once(tmp_path: Path) -> None:
    watch_process()
    watch_process()
    series = PROCESS.read()
    text = exposition(families(series))
    assert text.count("\nprocess_cpu_seconds_total ") == 1
    assert "\npython_gc_collections_total{" in text
    assert {each.name for each in PROCESS_METRICS} >= EVERYWHERE


def test_nothing_is_registered_before_it_is_used() -> None:
    program = (
        "import gc, sys, idlrt.observe as o; print(o.PROCESS.read(), [*gc.callbacks],"
        " {'asyncio', 'psutil', 'redis', 'httpx'} & {*sys.modules})"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[] [] set()\n"


@has_proc
def test_a_forked_child_has_figures_of_its_own() -> None:
    figures = ProcessFigures()
    started = value("process_start_time_seconds", figures)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writer, repr(value("process_start_time_seconds", figures)).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert float(os.read(reader, 100)) > started
    os.close(reader)
    os.close(writer)
