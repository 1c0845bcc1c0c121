"""The scenarios, and the pool of processes that makes their runs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from benchmarks.simulate import cold, hot, restart, slow, spread, storm, zone
from benchmarks.simulate.figures import Result
from benchmarks.simulate.scenario import Case, Scenario, Settings
from benchmarks.table import progress

__all__ = ["SCENARIOS", "make", "simulate"]

_MODULES: tuple[Any, ...] = (spread, slow, zone, restart, storm, hot, cold)

SCENARIOS: dict[str, Scenario] = {module.__name__.rpartition(".")[2]: module for module in _MODULES}
"""By the name of their module."""


def simulate(names: Sequence[str], settings: Settings, processes: int = 2) -> dict[str, dict[str, Result]]:
    """Make all runs of these scenarios; return the results by scenario and label."""
    todo = [(name, case) for name in names for case in SCENARIOS[name].cases(settings)]
    results: dict[str, dict[str, Result]] = {name: {} for name in names}
    if processes <= 1:
        for name, case in todo:
            results[name][case.label] = make(name, settings, case)
        return results
    # The longest first, so that no single run is left at the end.
    waiting = sorted(todo, key=lambda each: -each[1].values.get("seconds", 0.0))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running: dict[tuple[str, str], Future[Result]] = {
            (name, case.label): pool.submit(make, name, settings, case) for name, case in waiting
        }
        for name, case in todo:
            results[name][case.label] = running[name, case.label].result()
    return results


def make(name: str, settings: Settings, case: Case) -> Result:
    """Make one run."""

    def on_progress(text: str) -> None:
        progress(f"{name}: {text}")

    result = SCENARIOS[name].run(settings, case.label, on_progress, **case.values)
    each = result.cpu / max(result.simulated, 1)
    progress(f"{name}: {case.label}: done, {result.simulated / 1e6:.2f} million calls, {each * 1e6:.1f} µs each")
    return result
