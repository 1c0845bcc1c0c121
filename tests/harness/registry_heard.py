"""What a subscription has told, to be looked at and waited for; and figures, to be printed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from idlrt.core import Change, Freshness, Snapshot
from idlrt.registry import Subscription

__all__ = ["Heard", "say"]

_PATIENCE: Final = 30.0


def say(text: str) -> None:
    """Print a figure; `pytest -rP` or `-s` shows it."""
    sys.stdout.write(f"\n{text}\n")


class Heard:
    """All that a subscription has told, and when."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.changes: list[tuple[float, Change]] = []
        self._condition = threading.Condition()
        subscription.listen(self._heard)

    def _heard(self, change: Change) -> None:
        with self._condition:
            self.changes.append((time.monotonic(), change))
            self._condition.notify_all()

    @property
    def snapshots(self) -> list[Snapshot]:
        """What was told, in order."""
        return [change.snapshot for _, change in self.changes]

    def until(self, is_so: Callable[[Snapshot], bool], what: str) -> float:
        """Wait until the last snapshot is so; returns seconds."""
        start = time.monotonic()
        with self._condition:
            found = self._condition.wait_for(
                lambda: bool(self.changes) and is_so(self.changes[-1][1].snapshot), _PATIENCE
            )
        assert found, f"{what}: not within {_PATIENCE:.0f} s; last known: {self.changes[-1:]}"
        return time.monotonic() - start

    def until_fresh(self, freshness: Freshness) -> float:
        """Wait until it can be trusted so far."""
        return self.until(lambda each: each.freshness is freshness, freshness)

    def until_ports(self, *ports: int) -> float:
        """Wait until just the instances with these ports are there, and live."""
        return self.until(
            lambda each: (
                each.freshness is Freshness.LIVE and sorted(one.port for one in each.instances) == sorted(ports)
            ),
            f"ports {ports}",
        )

    def until_hosts(self, *hosts: str) -> float:
        """Wait until just the instances with these hosts are there, and live."""
        return self.until(
            lambda each: (
                each.freshness is Freshness.LIVE and sorted(one.host for one in each.instances) == sorted(hosts)
            ),
            f"hosts {hosts}",
        )

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Wait until something else is so."""
        end = time.monotonic() + _PATIENCE
        while not is_so():
            assert time.monotonic() < end
            time.sleep(0.005)

    def never_empty(self, since: int = 0) -> bool:
        """Whether there always was an instance, from the snapshot `since` on."""
        return all(each.instances for each in self.snapshots[since:])
