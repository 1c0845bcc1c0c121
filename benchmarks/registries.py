"""Real registries to measure, started as the tests start them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.table import progress
from benchmarks.workers import ROOT, Process, background, python

__all__ = ["embedded_registry", "harness", "other_registries"]

_HARNESS = str(ROOT / "tests" / "harness")


@contextlib.contextmanager
def harness() -> Iterator[None]:
    """Make the modules of tests/harness importable."""
    sys.path.insert(0, _HARNESS)
    try:
        yield
    finally:
        sys.path.remove(_HARNESS)


@contextlib.contextmanager
def embedded_registry(*options: str) -> Iterator[tuple[str, Process]]:
    """Run the embedded registry as a process: its URL, and the process.

    Raises:
        WorkerError: it has ended by itself.
    """
    command = python("idlrt", "registry", "serve", "--address", "127.0.0.1:0", *options)
    with background(command) as process:
        yield process.first.rpartition(" ")[2], process


def other_registries(stack: ExitStack, folder: Path) -> tuple[dict[str, str], list[str]]:
    """Run ZooKeeper and etcd where they are installed: their URLs by name, and why others are left out."""
    import pytest

    found: dict[str, str] = {}
    missing: list[str] = []
    with harness():
        from etcd_server import etcd_cluster
        from zookeeper_server import running_zookeeper

        try:
            zookeeper = stack.enter_context(running_zookeeper(folder / "zookeeper"))
            found["zookeeper"] = f"zookeeper://{zookeeper.address}"
        except pytest.skip.Exception as error:
            missing.append(f"ZooKeeper ({error})")
        try:
            found["etcd"] = stack.enter_context(etcd_cluster(folder)).url
        except pytest.skip.Exception as error:
            missing.append(f"etcd ({error})")
    for each in missing:
        progress(f"left out: {each}")
    return found, missing
