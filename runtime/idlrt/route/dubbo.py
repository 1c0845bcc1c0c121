"""Conversion of Dubbo's condition rules: `method = find* & host = 10.20.* => host != 10.20.3.3`.

The left side of the arrow is a condition on calls, the right side one on instances; either may be empty. An empty right
side (or `false`) blocks the calls that match the left side.

Source: Dubbo's `ConditionStateRouter`, https://dubbo.apache.org/en/docs/v2.7/user/examples/routing-rule/
"""

from __future__ import annotations

import re
from typing import Any, Final

from idlrt.errors import ConfigurationError

__all__ = ["from_dubbo_condition"]

_ARROW: Final = "=>"
_CLAUSE: Final = re.compile(r"\s*([^\s=!&,]+)\s*(!?=)\s*(.*?)\s*", re.DOTALL)
_ARGUMENT: Final = re.compile(r"arguments\[([0-9]{1,3})\]")
_ATTACHMENT: Final = re.compile(r"attachments\[([^\]\s]+)\]")
_CALL: Final = {
    "method": "method",
    "methods": "method",
    "interface": "service",
    "service": "service",
    "host": "caller.host",
    "application": "caller.app",
    "region": "caller.zone",
    "zone": "caller.zone",
    "dubbo.tag": "tag",
    "tag": "tag",
}
_INSTANCE: Final = {
    "host": "host", "port": "port", "address": "address", "version": "version", "group": "group", "zone": "zone",
    "region": "zone", "dubbo.tag": "tags.tag", "tag": "tags.tag",
}  # fmt: skip
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def from_dubbo_condition(text: str, *, force: bool = False, priority: int = 0) -> dict[str, Any]:
    """Return the equivalent rule for `make_chain`.

    Args:
        text: the condition. Keys that Dubbo does not define are labels of the caller on the left side, and metadata of
            instances on the right side, like URL parameters in Dubbo.
        force: `force` of Dubbo's rule.
        priority: `priority` of Dubbo's rule.

    Raises:
        ConfigurationError: the syntax is invalid, or there is no equivalent.
    """
    when, arrow, then = text.partition(_ARROW)
    if not arrow:
        when, then = "", text
    rule: dict[str, Any] = {"router": "condition", "when": _side(text, when, is_call=True), "force": force}
    if priority:
        rule["priority"] = priority
    if then.strip() in ("", "false"):
        # No instance, regardless of Dubbo's `force`.
        return {**rule, "to": [], "force": True}
    return {**rule, "to": _side(text, then, is_call=False)}


def _side(text: str, side: str, *, is_call: bool) -> str:
    if side.strip() in ("", "true"):
        return ""
    return " & ".join(_clause(text, clause, is_call=is_call) for clause in side.split("&"))


def _clause(text: str, clause: str, *, is_call: bool) -> str:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise _wrong(text, f"expected KEY = VALUES or KEY != VALUES, got {clause.strip()!r}")
    values = [value.strip() for value in match[3].split(",")]
    if not all(values):
        raise _wrong(text, f"expected a value for {match[1]!r}")
    key = _key(text, match[1], is_call=is_call)
    return f"{key} {match[2]} {', '.join(_value(text, value) for value in values)}"


def _key(text: str, key: str, *, is_call: bool) -> str:
    known = _CALL if is_call else _INSTANCE
    if key in known:
        return known[key]
    argument, attachment = _ARGUMENT.fullmatch(key), _ATTACHMENT.fullmatch(key)
    if is_call and argument is not None:
        return f"argument.{argument[1]}"
    if is_call and attachment is not None:
        return f"metadata.{attachment[1]}"
    if not _PLAIN.fullmatch(key):
        side = "left" if is_call else "right"
        raise _wrong(text, f"unsupported key {key!r} on the {side} side (known: {', '.join(known)})")
    return f"caller.labels.{key}" if is_call else f"metadata.{key}"


def _value(text: str, value: str) -> str:
    if value.startswith("$"):
        name = _CALL.get(value[1:], "")
        if not name.startswith("caller."):
            raise _wrong(text, f"unsupported variable {value!r} (known: $host, $application, $zone, $region)")
        return f"${name}"
    # These characters are special in conditions here, but literal in Dubbo's.
    if re.search(r"[\s~/!\"']", value):
        if "*" in value:
            raise _wrong(text, f"unsupported value {value!r}: it has a star and characters that must be quoted")
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return value


def _wrong(text: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"cannot convert Dubbo condition {text!r}: {what}")
