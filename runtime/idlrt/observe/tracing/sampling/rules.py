"""Rules of sampling, as operators set them in a registry or a configuration: JSON, a list of tables.

```json
[{"tags": {"user": "42"}, "force": true, "until": "2026-12-01T10:10:00Z"},
 {"method": "Health.*", "ratio": 0},
 {"method": "Cart.*", "caller": "batch-*", "ratio": 0.001},
 {"method": "Order.pay", "rate": 5}]
```

The first rule that matches and has not expired decides. Conditions on the caller or on tags match trusted callers only,
because both are claims of the caller.
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from idlrt.errors import ConfigurationError

__all__ = ["MAX_RULES", "SamplingRule", "read_rules"]

MAX_RULES: Final = 100
"""Maximum number of rules."""

_MAX_TEXT: Final = 65_536
_MAX_TAGS: Final = 10
_PATTERN: Final = Meta(max_length=256)
_AT: Final = re.compile(r"(?P<what>.*?)(?: - at (?:`key` in )?`\$(?:\.(?P<key>\w+))?[^`]*`)?", re.DOTALL)


class SamplingRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A rule: conditions, all of which must match, and exactly one of `force`, `ratio` and `rate`.

    Attributes:
        method: pattern of the method, e.g. `Cart.*`; `*` stands for any characters. Empty: any method.
        caller: pattern of the calling application; empty: any.
        tags: patterns of business tags, by name.
        force: sample all matching traces, up to a cap.
        ratio: share of the matching traces to sample, between 0 and 1.
        rate: matching traces per second to sample, above 0.
        until: time at which the rule expires, with a time zone; `None`: never.
        note: who set it, and why.
    """

    method: Annotated[str, _PATTERN] = ""
    caller: Annotated[str, _PATTERN] = ""
    tags: Mapping[Annotated[str, Meta(min_length=1, max_length=256)], Annotated[str, _PATTERN]] = {}
    force: bool = False
    ratio: Annotated[float, Meta(ge=0, le=1)] | None = None
    rate: Annotated[float, Meta(gt=0, le=1_000_000)] | None = None
    until: Annotated[datetime.datetime, Meta(tz=True)] | None = None
    note: Annotated[str, Meta(max_length=1000)] = ""


def read_rules(value: object, where: str = "sampling rules") -> tuple[SamplingRule, ...]:
    """Return rules from a registry or a configuration.

    Args:
        value: JSON text, or a list of tables as decoded from TOML or JSON; `SamplingRule` objects stay as they are.
        where: location, for messages.

    Raises:
        ConfigurationError: a rule is invalid; the message names the rule and the key.
    """
    rules = _decoded(value, where) if isinstance(value, str | bytes) else value
    if not isinstance(rules, list | tuple):
        raise ConfigurationError(f"{where}: expected a list of rules, got {type(rules).__name__}")
    each = list(cast("list[object]", rules))
    if len(each) > MAX_RULES:
        raise ConfigurationError(f"{where}: at most {MAX_RULES} rules, got {len(each)}")
    return tuple(_rule(rule, f"{where}[{at}]") for at, rule in enumerate(each))


def _decoded(text: str | bytes, where: str) -> object:
    if len(text) > _MAX_TEXT:
        raise ConfigurationError(f"{where}: at most {_MAX_TEXT} bytes of JSON, got {len(text)}")
    if not text.strip():
        return []
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ConfigurationError(f"{where}: invalid JSON: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{where}: invalid JSON: nested too deeply") from None


def _rule(value: object, where: str) -> SamplingRule:
    if not isinstance(value, SamplingRule):
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{where}: expected a table of keys and values, got {type(value).__name__}")
        table: Mapping[Any, Any] = cast("Any", value)
        known = SamplingRule.__struct_fields__
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigurationError(f"{where}: unknown key {key!r} (known: {', '.join(sorted(known))}){hint}")
        try:
            value = msgspec.convert(dict(table), SamplingRule)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"{where}{_located(error, table)}") from None
    _check(value, where)
    return value


def _check(rule: SamplingRule, where: str) -> None:
    given = {"force": rule.force, "ratio": rule.ratio is not None, "rate": rule.rate is not None}
    actions = [name for name, is_set in given.items() if is_set]
    if len(actions) != 1:
        got = " and ".join(actions) or "none of them"
        raise ConfigurationError(
            f"{where}: set exactly one of force, ratio and rate (ratio: 0 samples nothing), got {got}"
        )
    if rule.force and not (rule.method or rule.caller or rule.tags):
        raise ConfigurationError(f"{where}: force needs a method, a caller or tags; to sample all, set ratio: 1")
    if len(rule.tags) > _MAX_TAGS:
        raise ConfigurationError(f"{where}.tags: at most {_MAX_TAGS} tags, got {len(rule.tags)}")


def _located(error: msgspec.ValidationError, table: Mapping[Any, Any]) -> str:
    """Return the message with the key in front, and the value where there is one."""
    found = _AT.fullmatch(str(error))
    assert found is not None, "the pattern matches anything"
    what, key = found["what"], found["key"]
    if key is None:
        return f": {what[:1].lower()}{what[1:]}"
    if key == "until":
        what = "expected a time with a zone, such as 2026-12-01T10:10:00Z"
    return f".{key}: {what[:1].lower()}{what[1:]}, got {table[key]!r}"
