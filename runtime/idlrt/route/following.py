"""What our routers have in common, and how they say which value of a rule is wrong."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import Any, ClassVar

from idlrt.core import Chance
from idlrt.errors import ConfigurationError
from idlrt.route.base import Here, Pool, Rule, Step
from idlrt.spec import Method

__all__ = ["Following", "RuleError", "at"]


class RuleError(ConfigurationError):
    """A value of a rule cannot be one.

    Attributes:
        key: of the value within its rule, as `to[1].where`.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")
        self.key = key


@contextmanager
def at(key: str) -> Generator[None]:
    """Say which value of a rule it was that could not be read.

    Raises:
        RuleError: for any other `ConfigurationError`.
    """
    try:
        yield
    except ConfigurationError as error:
        raise RuleError(key, str(error)) from error


class Following:
    """The base of our routers: what they have in common.

    Attributes:
        rule: that it follows.
        label: the name of the rule, for steps.
    """

    Rule: ClassVar[type[Rule]]
    name: ClassVar[str]

    def __init__(self, rule: Any, here: Here, chance: Chance) -> None:
        self.rule = rule
        self.label: str = rule.name
        self._here = here
        self._chance = chance

    def groups(self) -> Collection[str]:
        """See `Router.groups`."""
        return ()

    def is_idle(self, pool: Pool[Any]) -> bool:
        """See `Router.is_idle`."""
        return False

    def suits(self, method: Method[..., Any]) -> bool:
        """See `Router.suits`."""
        return True

    def _tell(self, steps: list[Step], why: str, before: Pool[Any], after: Pool[Any]) -> None:
        steps.append(Step(router=self.name, rule=self.label, why=why, before=len(before), after=len(after)))
