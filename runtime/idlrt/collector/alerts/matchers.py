"""Matchers of labels, as silences and receivers have them: `service=shop`, `severity!=page`, `rpc_method=~Shop[.].*`.

Regular expressions must match the whole value. A label that an alert does not have counts as empty.

Source: Alertmanager (https://prometheus.io/docs/alerting/latest/configuration/#matcher)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, Self

import msgspec

from idlrt.errors import ConfigurationError

__all__ = ["Matcher", "all_match"]

_TEXT: Final = re.compile(
    r"\s*(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*(?P<operator>=~|!~|!=|=)\s*(?P<value>.*?)\s*", re.DOTALL
)
_LONGEST: Final = 500
_OPERATORS: Final = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}


class Matcher(msgspec.Struct, frozen=True):
    """Condition on a label.

    Attributes:
        name: name of the label.
        value: the value, or a regular expression.
        is_regex: whether the value is a regular expression.
        is_equal: whether the label must have the value, or must not.
    """

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name=value`, `name!=value`, `name=~regex` or `name!~regex`; the value may be in double quotes.

        Raises:
            ConfigurationError: it has another form, or the regular expression is invalid.
        """
        match = _TEXT.fullmatch(text)
        if match is None or len(text) > _LONGEST:
            raise ConfigurationError(f"expected NAME=VALUE, NAME!=VALUE, NAME=~REGEX or NAME!~REGEX, got {text!r}")
        value, operator = match["value"], match["operator"]
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if "~" in operator:
            try:
                re.compile(value)
            except (re.error, OverflowError, RecursionError) as error:
                raise ConfigurationError(f"invalid regular expression {value!r}: {error}") from None
        return cls(match["name"], value, "~" in operator, "!" not in operator)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil the condition."""
        value = labels.get(self.name, "")
        found = _compiled(self.value).fullmatch(value) is not None if self.is_regex else value == self.value
        return found == self.is_equal

    def __str__(self) -> str:
        return f"{self.name}{_OPERATORS[self.is_regex, self.is_equal]}{self.value}"


@lru_cache(256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def all_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil all conditions."""
    return all(each.matches(labels) for each in matchers)
