"""What a subscription has told, to be looked at and waited for; and figures, to be printed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

import pytest
from eventually import TIMEOUT, eventually

from idlrt.core import Change, Freshness, Snapshot
from idlrt.errors import RegistryError
from idlrt.registry import Registry, Subscription

__all__ = ["Heard", "say", "why_not"]


def say(text: str) -> None:
    """Print a figure; `pytest -rP` or `-s` shows it."""
    sys.stdout.write(f"\n{text}\n")


def why_not(registry: Registry) -> RegistryError:
    """The error of a question, once the registry has found out why it cannot be asked."""
    with pytest.raises(RegistryError):
        registry.groups(timeout=0.01)
    eventually(lambda: registry.last_error, "it is known why")
    with pytest.raises(RegistryError) as caught:
        registry.groups(timeout=0.01)
    return caught.value


class Heard:
    """All changes of a subscription, in order."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.changes: list[Change] = []
        self._condition = threading.Condition()
        subscription.listen(self._heard)

    def _heard(self, change: Change) -> None:
        with self._condition:
            self.changes.append(change)
            self._condition.notify_all()

    @property
    def snapshots(self) -> list[Snapshot]:
        """All snapshots, in order."""
        return [change.snapshot for change in self.changes]

    @property
    def last(self) -> Snapshot:
        """The newest snapshot."""
        return self.changes[-1].snapshot

    @property
    def removed(self) -> list[str]:
        """Ids of all instances that were removed, in order."""
        return [instance.id for change in self.changes for instance in change.removed]

    def until(self, is_so: Callable[[Snapshot], object], what: str) -> float:
        """Wait until the last snapshot is so. Returns the seconds that it took, for information only."""
        start = time.monotonic()
        with self._condition:
            found = self._condition.wait_for(lambda: bool(self.changes) and is_so(self.last), TIMEOUT)
        assert found, f"not within {TIMEOUT:g} s: {what}; last known: {self.changes[-1:]}"
        return time.monotonic() - start

    def until_fresh(self, freshness: Freshness) -> float:
        """Wait for a snapshot of this freshness."""
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

    def until_weights(self, *weights: int) -> float:
        """Wait until the instances have these weights."""
        return self.until(lambda each: [one.weight for one in each.instances] == list(weights), f"weights {weights}")

    def until_removed(self, *ids: str) -> float:
        """Wait until just these instances have been removed since the beginning."""
        return self.until(lambda _: self.removed == list(ids), f"removed {ids}")

    def never_empty(self, since: int = 0) -> bool:
        """Whether there always was an instance, from the snapshot `since` on."""
        return all(each.instances for each in self.snapshots[since:])
