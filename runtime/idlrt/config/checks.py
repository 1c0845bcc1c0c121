"""Validation of keys and values. Each error names its place, the cause and the allowed values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from idlrt.balance import BALANCERS
from idlrt.config.schema import (
    CALL,
    RESERVED_PREFIX,
    SERVICE,
    Section,
    convert,
    decoded,
    locate,
    parse_enabled,
    section,
)
from idlrt.config.types import error_text, fields_of, invalid_value
from idlrt.core import ClockAndRandom
from idlrt.core.renamed import current_key
from idlrt.errors import ConfigurationError
from idlrt.fault import FAULT_MODES
from idlrt.guard import GUARDS
from idlrt.guard.order import check_place

__all__ = ["Problem", "check", "invalid", "located"]

# Upper bound of all numbers; larger ones overflow clocks and sockets.
_LARGEST: Final = 1e9
_AT: Final = re.compile(r"^(?P<why>.*?) - at `\$(?P<path>[^`]*)`$", re.S)


class Problem(msgspec.Struct, frozen=True):
    """An error or another finding in a configuration.

    Attributes:
        key: dotted key that it is about, or a path into its value.
        why: cause and remedy.
    """

    key: str
    why: str

    def __str__(self) -> str:
        return f"{self.key}: {self.why}"


def check(flat: Mapping[str, Any]) -> list[Problem]:
    """Return all errors in values by dotted keys.

    Each key is checked on its own, so that one error does not hide another. Old names of keys are accepted, unless the
    current name is there, too.
    """
    return list(_problems(flat))


def _problems(flat: Mapping[str, Any]) -> Iterator[Problem]:
    for key, value in flat.items():
        if key.startswith(RESERVED_PREFIX):
            continue
        current = current_key(key)
        if current != key and current in flat:
            yield Problem(key, f"also set as {current}, its current name; remove {key}")
            continue
        try:
            _, name, field = locate(key)
        except KeyError as error:
            yield Problem(key, str(error.args[0]))
            continue
        found = section(name)
        assert found is not None  # `locate` has found it
        if found.kind == "guard":
            try:
                check_place(name)
            except ConfigurationError as error:
                yield Problem(key, str(error))
                continue
        if field == "enabled":
            if parse_enabled(value) is None:
                yield Problem(key, f"expected true or false, got {value!r}")
            continue
        try:
            given = decoded(value)
            converted = convert(found, {field: given})
        except msgspec.ValidationError as error:
            yield Problem(*located(key, field, str(error), value, found.settings))
        except ConfigurationError as error:
            yield Problem(key, str(error))
        else:
            made: Any = getattr(converted, field)
            if isinstance(made, int | float) and not abs(made) <= _LARGEST:
                yield Problem(key, f"must be at most {_LARGEST:.0f}, got {value!r}")
                continue
            yield from _meaning(key, name, field, made)
            yield from _making(key, found, converted)


def _making(key: str, found: Section, settings: Any) -> Iterator[Problem]:
    """Yield errors that a guard or a fault mode raises for its settings."""
    try:
        if found.kind == "guard":
            GUARDS.make(found.name, settings, ClockAndRandom())
        elif found.kind == "fault mode":
            FAULT_MODES.make(found.name, settings, ClockAndRandom()).close()
    except ConfigurationError as error:
        yield Problem(key, str(error))


def _meaning(key: str, table: str, field: str, value: Any) -> Iterator[Problem]:
    """Yield errors that types do not cover: in names of plugins, and in routing rules."""
    if table == CALL and field in ("balancer", "fault"):
        plugins = BALANCERS if field == "balancer" else FAULT_MODES
        try:
            plugins.get(value)
        except ConfigurationError as error:
            yield Problem(key, str(error))
    elif table == "sampling":
        yield from _sampling(key, field, value)
    elif table == SERVICE and field == "routes":
        from idlrt.route import CallerInfo
        from idlrt.route.chain import make_chain

        try:
            make_chain(value, CallerInfo(id="check"), ClockAndRandom(), where=key)
        except ConfigurationError as error:
            head, colon, why = str(error).partition(": ")
            yield Problem(head, why) if colon and head.startswith(key) else Problem(key, str(error))


def _sampling(key: str, field: str, value: Any) -> Iterator[Problem]:
    """Yield the error in sampling rules, or in the name of a sampler."""
    from idlrt.observe.tracing.sampling import parse_sampler, read_rules

    try:
        if field == "rules":
            read_rules(value, key)
        elif value:
            parse_sampler(value)
    except ConfigurationError as error:
        head, colon, why = str(error).partition(": ")
        yield Problem(head, why) if colon and head.startswith(key) else Problem(key, str(error))


def located(
    key: str, field: str, error: str, value: Any, settings: type[msgspec.Struct] | None = None
) -> tuple[str, str]:
    """Convert a validation error of msgspec to the key of the invalid value and a message.

    Args:
        key: key of the checked value; the returned key may be a path into it.
        field: last part of `key`; empty for a whole table.
        error: message of msgspec.
        value: checked value.
        settings: struct of the field.
    """
    match = _AT.match(error)
    if match is None:
        return key, error
    deeper = match["path"].removeprefix(f".{field}") if field else match["path"]
    about = fields_of(settings).get(field) if settings is not None else None
    if deeper or about is None:
        return key + deeper, error_text(match["why"])
    return key, invalid_value(match["why"], value, about)


def invalid(problems: Sequence[Problem], where: str) -> ConfigurationError:
    """Build the error for the problems of a configuration.

    Args:
        where: name of the configuration, which the message starts with.
    """
    if len(problems) == 1:
        return ConfigurationError(f"{where}: {problems[0]}")
    lines = "".join(f"\n  {each}" for each in problems)
    return ConfigurationError(f"{where}: {len(problems)} problems:{lines}")
