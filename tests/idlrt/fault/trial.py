"""A fault mode, some instances that do what is written, and virtual time."""

from __future__ import annotations

import math
from typing import Any

from idlrt.core import Call, ClockAndRandom, Retrying
from idlrt.fault import FAULT_MODES
from idlrt.spec import Method
from idlrt.testing import FakeDriver
from idlrt.testing.scripted_dispatcher import GET, Reply, ScriptedDispatcher, ScriptedInstance, call_with

START = 100.0


class Trial:
    """A mode at work.

    Args:
        name: of the mode.
        scripts: what each instance replies: outcomes, or `Reply`s where it matters how long they take.
        budget: retries that may be spent.
        settings: of the mode.
    """

    def __init__(self, name: str, *scripts: Any, budget: float = math.inf, rng: float = 0.5, **settings: Any) -> None:
        self.driver = FakeDriver(START)
        mode: Any = FAULT_MODES.get(name)
        sources = ClockAndRandom(now=self.driver.now, rng=lambda: rng)
        self.mode: Any = mode(mode.Settings(**settings), sources)
        self.budget = budget
        self.instances(*scripts)

    def instances(self, *scripts: Any) -> None:
        """From now on there are these."""
        endpoints = [
            ScriptedInstance(number, *(each if isinstance(each, Reply) else Reply(each) for each in script))
            for number, script in enumerate((s if isinstance(s, list) else [s] for s in scripts), 1)
        ]
        self.dispatcher = ScriptedDispatcher(endpoints, self.budget)

    def make(
        self,
        method: Method[..., Any] = GET,
        *,
        metadata: dict[str, str] | None = None,
        attempt: int = 0,
        key: str = "",
        **policy: Any,
    ) -> Call:
        """A call that is not made yet. Options are those of `using(...)`; all else is policy."""
        options: dict[str, Any] = {name: policy.pop(name) for name in ("on_failure", "on_done") if name in policy}
        call = call_with(self.driver, method, key=key, **policy)
        call.metadata = metadata or {}
        call.attempt = attempt
        call.options = options
        return call

    def call(self, method: Method[..., Any] = GET, **policy: Any) -> Any:
        """Make a call; return its result, or the exception that it raised."""
        return self.run(self.make(method, **policy))

    def run(self, call: Call) -> Any:
        """The same for an existing call."""
        try:
            return self.driver.run(self.mode.call(call, self.dispatcher))
        except BaseException as error:  # noqa: BLE001  # is looked at
            return error

    @property
    def asked(self) -> str:
        """Who was asked, by number, in order."""
        return "".join(str(self.dispatcher.endpoints.index(each.endpoint) + 1) for each in self.dispatcher.sent)

    @property
    def pauses(self) -> list[float]:
        """Before each retry."""
        return [each.pause for each in self.dispatcher.decisions_of(Retrying)]


def notes(error: Any) -> str:
    """Return the notes of an error."""
    return "; ".join(getattr(error, "__notes__", ()))
