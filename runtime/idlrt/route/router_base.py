"""Base of the built-in routers, and errors that name the invalid key of a rule."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import Any, ClassVar

from idlrt.core import ClockAndRandom
from idlrt.errors import ConfigurationError
from idlrt.route.base import CallerInfo, Pool, Rule, Step
from idlrt.spec import Method

__all__ = ["RouterBase", "RuleError", "errors_at"]


class RuleError(ConfigurationError):
    """A value of a rule is invalid.

    Attributes:
        key: key of the value within its rule, e.g. `to[1].where`.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")
        self.key = key


@contextmanager
def errors_at(key: str) -> Generator[None]:
    """Context manager that adds the key of a value to errors about it.

    Raises:
        RuleError: in place of any other `ConfigurationError`.
    """
    try:
        yield
    except ConfigurationError as error:
        raise RuleError(key, str(error)) from error


class RouterBase:
    """Base of the built-in routers.

    Attributes:
        rule: rule that it implements.
        label: name of the rule, for steps.
    """

    Rule: ClassVar[type[Rule]]
    name: ClassVar[str]

    def __init__(self, rule: Any, caller: CallerInfo, sources: ClockAndRandom) -> None:
        self.rule = rule
        self.label: str = rule.name
        self._caller = caller
        self._sources = sources

    def groups(self) -> Collection[str]:
        return ()

    def is_idle(self, pool: Pool[Any]) -> bool:
        return False

    def applies_to(self, method: Method[..., Any]) -> bool:
        return True

    def _add_step(self, steps: list[Step], why: str, before: Pool[Any], after: Pool[Any]) -> None:
        steps.append(Step(router=self.name, rule=self.label, why=why, before=len(before), after=len(after)))
