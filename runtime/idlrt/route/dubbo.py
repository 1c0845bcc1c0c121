"""Dubbo's condition rules, as ours: `method = find* & host = 10.20.* => host != 10.20.3.3`.

What stands before the arrow looks at calls, what stands behind it at instances; either may be empty. Nothing (or
`false`) behind the arrow forbids what stands before it.

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
    """The rule that says the same, as `make_chain` takes it.

    Args:
        text: the condition. Keys that Dubbo does not define are labels of the caller before the arrow, and metadata of
            instances behind it, as parameters of URLs are there.
        force: as in Dubbo's rule.
        priority: likewise.

    Raises:
        ConfigurationError: it cannot be read, or says what cannot be said in our rules.
    """
    when, arrow, then = text.partition(_ARROW)
    if not arrow:
        when, then = "", text
    rule: dict[str, Any] = {"router": "condition", "when": _side(text, when, is_call=True), "force": force}
    if priority:
        rule["priority"] = priority
    if then.strip() in ("", "false"):
        # Nobody, whatever Dubbo's `force` says.
        return {**rule, "to": [], "force": True}
    return {**rule, "to": _side(text, then, is_call=False)}


def _side(text: str, side: str, *, is_call: bool) -> str:
    if side.strip() in ("", "true"):
        return ""
    return " & ".join(_clause(text, clause, is_call=is_call) for clause in side.split("&"))


def _clause(text: str, clause: str, *, is_call: bool) -> str:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise _wrong(text, f"{clause.strip()!r} is not KEY = VALUES or KEY != VALUES")
    values = [value.strip() for value in match[3].split(",")]
    if not all(values):
        raise _wrong(text, f"a value of {match[1]!r} is missing")
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
        side = "before" if is_call else "behind"
        raise _wrong(text, f"{key!r} cannot be said {side} the arrow; known: {', '.join(known)}")
    return f"caller.labels.{key}" if is_call else f"metadata.{key}"


def _value(text: str, value: str) -> str:
    if value.startswith("$"):
        name = _CALL.get(value[1:], "")
        if not name.startswith("caller."):
            raise _wrong(text, f"{value!r} cannot be said; known: $host, $application, $zone, $region")
        return f"${name}"
    # In our conditions these mean something; in Dubbo's they are text.
    if re.search(r"[\s~/!\"']", value):
        if "*" in value:
            raise _wrong(text, f"{value!r} cannot be said: it has a star beside what must be quoted")
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return value


def _wrong(text: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"cannot turn Dubbo's condition {text!r} into a rule: {what}")
