"""Alerts over a store on a virtual clock: programs report each 10 seconds, and rules are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from idlrt.collector.alerts import Alerts, AlertState, parse_rules
from idlrt.collector.store import CellStore
from idlrt.observe.catalogue import BREAKER_STATE, SERVER_CALLS
from idlrt.observe.histogram import Histogram
from idlrt.observe.metric import Labels, Metric, Series

__all__ = ["START", "AlertWorld", "breaker", "calls"]

START = 1_800_057_600.0
"""A multiple of all steps."""

_MILLISECOND = 1_000_000
_STATES: Metric = BREAKER_STATE


def calls(ok: int = 0, failed: int = 0, *, ms: float = 5.0, method: str = "Shop.find") -> Series:
    """Return the calls of a server in one step."""
    parts = {("ok", ""): ok, ("internal", "ValueError"): failed}
    values: dict[Labels, Histogram | float] = {
        (method, status, error, ""): Histogram.of([round(ms * _MILLISECOND)] * count)
        for (status, error), count in parts.items()
        if count
    }
    return Series(SERVER_CALLS, values)


def breaker(state: float, name: str = "stock") -> Series:
    """Return the state of a circuit breaker."""
    return Series(_STATES, {(name,): state})


class AlertWorld:
    """A store on a virtual clock, and alerts on it.

    Args:
        folder: folder of the files.
        rules: contents of a file of alerts, or its path.
    """

    def __init__(self, folder: Path, rules: str) -> None:
        self.at = START
        self._folder = folder
        self.store = CellStore(folder / "cells.db", now=lambda: self.at)
        self.rules = rules
        self.alerts = self._opened()

    def _opened(self) -> Alerts:
        rules = self.rules if self.rules.endswith(".toml") else parse_rules(self.rules)
        return Alerts(self.store, rules, self._folder, now=lambda: self.at)

    def run(self, seconds: float, *series: Series, **resource: str) -> None:
        """Let a program report for a time, and evaluate after each report. Without series it reports nothing.

        Args:
            seconds: the time.
            series: what it reports each 10 seconds.
            resource: its resource; `service` is `shop` by default.
        """
        self.run_all(seconds, [({"service": "shop", "instance": "shop-1", **resource}, series)] if series else [])

    def run_all(self, seconds: float, programs: list[tuple[Mapping[str, str], tuple[Series, ...]]]) -> None:
        """Do what `run` does with several programs."""
        end = self.at + seconds
        while self.at < end:
            self.at += 9.0
            for resource, series in programs:
                self.store.put(resource, self.at, series)
            self.store.commit()
            # Half a second after the cell is complete, and before the next report.
            self.at += 4.5
            self.alerts.evaluate()
            self.at -= 3.5

    def put(self, at: float, *series: Series, **resource: str) -> None:
        """Add what a program has reported at a time."""
        self.store.put({"service": "shop", "instance": "shop-1", **resource}, at, series)
        self.store.commit()

    def restart(self, down: float = 0.0) -> None:
        """Stop the alerts, and start them again after some seconds."""
        self.alerts.close()
        self.at += down
        self.alerts = self._opened()

    def state(self, rule: str, **labels: str) -> AlertState:
        """Return the state of the alert with these labels."""
        (found,) = [
            each
            for each in self.alerts.states()
            if each.rule == rule and all(each.labels.get(name) == value for name, value in labels.items())
        ]
        return found

    def changes(self, rule: str) -> list[str]:
        """Return the states that an alert has had, the oldest first."""
        return [each.after for each in reversed(self.alerts.history(1000)) if each.rule == rule]

    def close(self) -> None:
        """Close the files."""
        self.alerts.close()
        self.store.close()


Opened = Callable[[str], AlertWorld]
"""Opens the world of a test, with the contents of a file of alerts."""
