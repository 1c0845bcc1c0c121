"""Files of alerts (TOML).

external_url = "https://monitor.example.com"

[receivers.chat]
webhook = "http://127.0.0.1:9095/alerts"
where = ["severity=page"]

[alerts.CheckoutFails]
service = "checkout"
when = "error rate > 1 % for 1 min"
by = ["method"]
min_calls = 50
severity = "page"
annotations.summary = "{method} fails: {value}"

[alerts.CheckoutBudget]
service = "checkout"
burn = "99.9 %"
"""

from __future__ import annotations

import difflib
import re
import string
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec

from idlrt.collector.alerts.conditions import Absence, Comparison, parse_condition, parse_duration
from idlrt.collector.alerts.matchers import Matcher
from idlrt.collector.alerts.rules import (
    METHOD_ALIAS,
    RESOURCE_KEYS,
    AlertRule,
    Burn,
    Condition,
    Receiver,
    ReceiverKind,
    RuleSet,
    outcome_label,
)
from idlrt.collector.alerts.toml_lines import TomlLines
from idlrt.config import Problem, invalid
from idlrt.config.checks import located
from idlrt.errors import ConfigurationError

__all__ = ["PLACEHOLDERS", "parse_rules", "read_rules"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TABLES: Final = ("alerts", "receivers", "external_url")
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_RESERVED: Final = ("alertname", "severity", "window")
_MAX_RULES: Final = 10_000

PLACEHOLDERS: Final = ("value", "threshold", "condition", "alertname", "severity")
"""Placeholders in annotations that all rules have, besides their labels."""

_Texts: TypeAlias = dict[str, str]
_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
_Names: TypeAlias = tuple[_Text, ...]


class _RuleTable(msgspec.Struct, forbid_unknown_fields=True):
    when: _Text | None = None
    burn: _Text | None = None
    latency: _Text | None = None
    service: _Text | None = None
    method: _Text | None = None
    instance: _Text | None = None
    zone: _Text | None = None
    where: _Texts = {}
    by: _Names = ()
    min_calls: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] | None = None
    severity: _Text | None = None
    labels: _Texts = {}
    annotations: _Texts = {}
    keep_firing_for: _Text | None = None


class _ReceiverTable(msgspec.Struct, forbid_unknown_fields=True):
    webhook: _Text | None = None
    alertmanager: _Text | None = None
    headers: _Texts = {}
    where: _Names = ()
    group_by: _Names | None = None
    group_wait: str | None = None
    group_interval: str | None = None
    repeat_interval: str | None = None
    send_resolved: bool = True


_GROUPING: Final = ("group_by", "group_wait", "group_interval", "repeat_interval")
_FILTERS: Final = ("service", METHOD_ALIAS, "instance", "zone")


def read_rules(path: Path | str) -> RuleSet:
    """Read a file of alerts and check it.

    Raises:
        ConfigurationError: it cannot be read, or is invalid; the message lists all errors.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"cannot read the alerts {path}: {why}") from error
    return parse_rules(text, str(path))


def parse_rules(text: str, name: str = "alerts") -> RuleSet:
    """Read the text of a file of alerts and check it.

    Args:
        text: the text.
        name: name of the file, for messages.

    Raises:
        ConfigurationError: it is invalid; the message lists all errors.
    """
    try:
        nested = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"cannot read the alerts {name}: invalid TOML: {error}") from error
    problems: list[Problem] = []
    problems.extend(Problem(key, f"unknown table{_suggestion(key, _TABLES)}") for key in nested if key not in _TABLES)
    rules = [_rule(key, table, problems) for key, table in _tables(nested, "alerts", problems)]
    receivers = [_receiver(key, table, problems) for key, table in _tables(nested, "receivers", problems)]
    external = nested.get("external_url", "")
    if external and not _is_url(external):
        problems.append(Problem("external_url", "expected a URL such as https://monitor.example.com"))
    if len(rules) > _MAX_RULES:
        problems.append(Problem("alerts", f"at most {_MAX_RULES} rules, got {len(rules)}"))
    if problems:
        raise invalid(TomlLines(text).placed(problems), name)
    return RuleSet(
        rules=tuple(each for each in rules if each is not None),
        receivers=tuple(each for each in receivers if each is not None),
        external_url=str(external).rstrip("/"),
    )


def _suggestion(name: str, known: Sequence[str]) -> str:
    """Return the end of an error message about an unknown name: a similar name, or all known ones."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f" (known: {', '.join(known)})"


def _tables(nested: Mapping[str, Any], name: str, problems: list[Problem]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    found: object = nested.get(name, {})
    if not isinstance(found, dict):
        problems.append(Problem(name, f"expected tables such as [{name}.NAME], got {found!r}"))
        return
    for key, table in cast("dict[str, object]", found).items():
        place = f"{name}.{key}"
        if not isinstance(table, dict):
            problems.append(Problem(place, f"expected a table, got {table!r}"))
        elif not _NAME.fullmatch(key):
            what = "a name must consist of letters, digits and '_', and not begin with a digit"
            problems.append(Problem(place, what))
        else:
            yield key, cast("dict[str, Any]", table)


def _fields(table: Mapping[str, Any], kind: type[msgspec.Struct], place: str, problems: list[Problem]) -> Any:
    """Return the struct of a table. Values that are invalid count as missing."""
    valid: dict[str, Any] = {}
    for key, value in table.items():
        where = f"{place}.{key}"
        if key not in kind.__struct_fields__:
            problems.append(Problem(where, f"unknown key{_suggestion(key, kind.__struct_fields__)}"))
            continue
        try:
            msgspec.convert({key: value}, kind)
        except msgspec.ValidationError as error:
            problems.append(Problem(*located(where, key, str(error), value, kind)))
        else:
            valid[key] = value
    return msgspec.convert(valid, kind)


def _rule(name: str, raw: Mapping[str, Any], problems: list[Problem]) -> AlertRule | None:
    place, before = f"alerts.{name}", len(problems)
    table: _RuleTable = _fields(raw, _RuleTable, place, problems)
    condition = _condition(table, raw, place, problems)
    where = dict(table.where)
    for key in _FILTERS:
        value: str | None = getattr(table, key)
        if value is not None:
            if key in where:
                problems.append(Problem(f"{place}.where.{key}", f"also set as {key}; remove one of them"))
            where[key] = value
    keep = _duration(table.keep_firing_for, f"{place}.keep_firing_for", problems, 0.0)
    _check_names(table, where, place, problems)
    if condition is not None:
        _check_condition(table, condition, where, place, problems)
    _check_annotations(
        table, (*where, *table.by, *table.labels, *(["window"] if "burn" in raw else [])), place, problems
    )
    if condition is None or len(problems) > before:
        return None
    labels = {"severity": table.severity or "ticket", **table.labels}
    if isinstance(condition, Burn):
        del labels["severity"]
    return AlertRule(
        name=name,
        condition=condition,
        where=where,
        by=table.by,
        min_calls=table.min_calls,
        labels=labels,
        annotations=table.annotations,
        keep_firing_s=keep,
    )


def _condition(table: _RuleTable, raw: Mapping[str, Any], place: str, problems: list[Problem]) -> Condition | None:
    """Return the condition; `None` if it is invalid."""
    if "when" in raw and "burn" in raw:
        problems.append(Problem(f"{place}.burn", "also has when; remove one of them"))
        return None
    if "when" not in raw and "burn" not in raw:
        problems.append(Problem(place, 'needs a condition: when = "error rate > 1 %", or burn = "99.9 %"'))
        return None
    if table.latency is not None and "burn" not in raw:
        problems.append(Problem(f"{place}.latency", "is for burn rates; set burn, too"))
    if table.when is not None:
        try:
            return parse_condition(table.when)
        except ConfigurationError as error:
            problems.append(Problem(f"{place}.when", str(error)))
    elif table.burn is not None:
        match = _PERCENT.fullmatch(table.burn.strip())
        latency = _duration(table.latency, f"{place}.latency", problems, 0.0)
        if match is None or not 50 <= float(match[1]) <= 99.9999:
            what = f'expected an objective between 50 % and 99.9999 %, such as "99.9 %", got {table.burn!r}'
            problems.append(Problem(f"{place}.burn", what))
        else:
            # Without the digits that 1 - 0.999 has in binary.
            budget = round((100 - float(match[1])) / 100, 12)
            about = f" within {table.latency}" if table.latency else ""
            return Burn(text=f"{match[1]} % of the calls succeed{about}", budget=budget, latency_s=latency)
    return None


def _check_names(table: _RuleTable, where: Mapping[str, str], place: str, problems: list[Problem]) -> None:
    """Check the names of labels."""
    for key, names in (
        ("where", where),
        ("by", table.by),
        ("labels", table.labels),
        ("annotations", table.annotations),
    ):
        for name in names:
            if not _NAME.fullmatch(name):
                what = f"invalid name {name!r}: must consist of letters, digits and '_'"
                problems.append(Problem(f"{place}.{key}", what))
    for name in table.labels:
        if name in _RESERVED:
            hint = "; use the key severity" if name == "severity" else "; choose another name"
            problems.append(Problem(f"{place}.labels.{name}", f"is set by the collector{hint}"))
        elif name in where or name in table.by:
            problems.append(Problem(f"{place}.labels.{name}", "is also in where or by; choose another name"))
    for name in table.by:
        if name in where:
            problems.append(Problem(f"{place}.by", f"{name} has one value already, {where[name]!r}; remove it"))
    if len(set(table.by)) < len(table.by):
        problems.append(Problem(f"{place}.by", "has a name twice"))


def _check_condition(
    table: _RuleTable, condition: Condition, where: Mapping[str, str], place: str, problems: list[Problem]
) -> None:
    """Check that the other keys fit to the condition."""
    if isinstance(condition, Absence):
        foreign = [each for each in (*where, *table.by) if each not in RESOURCE_KEYS]
        if foreign:
            known = ", ".join(RESOURCE_KEYS)
            what = f"`absent` is about programs, which have no {foreign[0]} (known: {known})"
            problems.append(Problem(f"{place}.{'by' if foreign[0] in table.by else 'where'}", what))
        if not where and not table.by:
            problems.append(Problem(place, '`absent` needs a service, or by = ["service"]'))
        if table.min_calls is not None:
            problems.append(Problem(f"{place}.min_calls", "has no meaning for `absent`; remove it"))
    if isinstance(condition, Burn) and table.severity is not None:
        what = "burn rates are a page or a ticket, by their window; remove it, or use labels"
        problems.append(Problem(f"{place}.severity", what))
    if isinstance(condition, Comparison) and condition.measure in ("errors", "error rate"):
        metric = condition.metric
        if not outcome_label(metric):
            what = f"the outcomes of {metric} are not known; use a metric of calls, or p99, max, average or calls"
            problems.append(Problem(f"{place}.when", what))


def _check_annotations(table: _RuleTable, labels: Sequence[str], place: str, problems: list[Problem]) -> None:
    """Check the placeholders of annotations."""
    known = [*PLACEHOLDERS, *labels]
    for name, text in table.annotations.items():
        key = f"{place}.annotations.{name}"
        try:
            parts = list(string.Formatter().parse(text))
        except ValueError:
            problems.append(Problem(key, "has a single brace; write {{ or }} for a brace"))
            continue
        for _, field, form, conversion in parts:
            if field is None:
                continue
            if form or conversion:
                problems.append(
                    Problem(key, f"expected a plain placeholder such as {{value}}, got {field!r} with a format")
                )
            elif field not in known:
                problems.append(Problem(key, f"unknown placeholder {field!r}{_suggestion(field, known)}"))


def _receiver(name: str, raw: Mapping[str, Any], problems: list[Problem]) -> Receiver | None:
    place, before = f"receivers.{name}", len(problems)
    table: _ReceiverTable = _fields(raw, _ReceiverTable, place, problems)
    kinds = [kind for kind in ("webhook", "alertmanager") if kind in raw]
    if len(kinds) != 1:
        problems.append(Problem(place, "needs one of webhook and alertmanager, the URL of the receiver"))
        return None
    kind = msgspec.convert(kinds[0], ReceiverKind)
    url: str | None = getattr(table, kind)
    if url is not None and not _is_url(url):
        # The URL may be a secret.
        what = "expected a URL such as http://host:port/path, without user and password; use headers for these"
        problems.append(Problem(f"{place}.{kind}", what))
    matchers: list[Matcher] = []
    for at, text in enumerate(table.where):
        try:
            matchers.append(Matcher.parse(text))
        except ConfigurationError as error:
            problems.append(Problem(f"{place}.where[{at}]", str(error)))
    made = Receiver(name=name, kind=kind, url=url or "", where=tuple(matchers), headers=table.headers)
    made = msgspec.structs.replace(made, send_resolved=table.send_resolved)
    if kind == "alertmanager":
        foreign = [key for key in _GROUPING if key in raw]
        problems.extend(Problem(f"{place}.{key}", "is up to Alertmanager; set it there") for key in foreign)
        # Sent again before Alertmanager takes an alert for resolved, after 5 minutes by default.
        url = f"{made.url.rstrip('/')}/api/v2/alerts"
        made = msgspec.structs.replace(made, url=url, group_by=(), group_wait_s=0, group_interval_s=0, repeat_s=60)
    else:
        made = msgspec.structs.replace(
            made,
            group_by=made.group_by if table.group_by is None else table.group_by,
            group_wait_s=_duration(table.group_wait, f"{place}.group_wait", problems, made.group_wait_s),
            group_interval_s=_duration(
                table.group_interval, f"{place}.group_interval", problems, made.group_interval_s
            ),
            repeat_s=_duration(table.repeat_interval, f"{place}.repeat_interval", problems, made.repeat_s),
        )
    return made if len(problems) == before else None


def _duration(text: str | None, place: str, problems: list[Problem], default: float) -> float:
    if text is None:
        return default
    try:
        return 0.0 if text.strip() in ("0", "0 s") else parse_duration(text)
    except ConfigurationError as error:
        problems.append(Problem(place, str(error)))
        return default


def _is_url(text: object) -> bool:
    try:
        parts = urlsplit(text if isinstance(text, str) else "")
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        return False
