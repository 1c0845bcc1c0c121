"""Common parts of the registry checks: clients of one registry, and a subscription that records its changes."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from idlrt.core import Change, Instance, Snapshot
from idlrt.registry import Registry, Subscription

__all__ = ["TIMEOUT", "ChangeRecorder", "Make", "clients", "make_instance", "new_service"]

Make = Callable[[], Registry]

# Timeout of each step, in seconds, for busy machines: the speed of a registry is measured elsewhere, not checked.
TIMEOUT: Final = 60.0

_numbers = itertools.count(1)


def new_service(what: str) -> str:
    """Return an unused service name."""
    return f"check.{what}.{os.getpid()}.{next(_numbers)}.{time.time_ns() % 1_000_000_000}"


def make_instance(service: str, number: int = 1, **more: Any) -> Instance:
    return Instance(service=service, host="127.0.0.1", port=20000 + number, **more)


class ChangeRecorder:
    """A subscription and its recorded changes."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.changes: list[Change] = []
        self._condition = threading.Condition()
        subscription.listen(self._on_change)

    def _on_change(self, change: Change) -> None:
        with self._condition:
            self.changes.append(change)
            self._condition.notify_all()

    def wait_for(self, is_there: Callable[[Snapshot], bool], what: str) -> Snapshot:
        """Wait for a snapshot that satisfies `is_there`; `what` describes it."""
        with self._condition:
            found = self._condition.wait_for(
                lambda: bool(self.changes) and is_there(self.changes[-1].snapshot), TIMEOUT
            )
            last = self.changes[-1].snapshot if self.changes else self.subscription.last_error
        assert found, f"no snapshot with {what} within {TIMEOUT:.0f} s; last one: {last}"
        assert isinstance(last, Snapshot)
        return last

    def wait_for_ids(self, *ids: str) -> Snapshot:
        """Wait for a snapshot of exactly these instances."""
        return self.wait_for(lambda each: [one.id for one in each.instances] == sorted(ids), f"instances {sorted(ids)}")


@contextmanager
def clients(make: Make, count: int = 2) -> Generator[list[Registry]]:
    with ExitStack() as stack:
        yield [stack.enter_context(make()) for _ in range(count)]
