"""Translate validation expressions of CloudWeGo (`api.vd`) to constraints (`vt.*`).

Understood are comparisons of the value or of its length with a literal, `regexp('..')`, several of these joined by
`&&`, and alternatives of equality (`$==1||$==2`). The expression may be in `{@:..}`, and a message for violations may
follow, which is not used. The language also has other fields, functions and arithmetic; expressions with them are not
translated.

Source: https://github.com/bytedance/go-tagexpr/tree/master/validator
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

__all__ = ["Constraints", "constraints_of"]

Constraints: TypeAlias = list[tuple[str, str]]
"""Names and values of `vt.*` annotations."""

_MESSAGE: Final = re.compile(r"\{\s*msg\s*:.*\}\s*\Z|;\s*msg\s*:.*\Z", re.DOTALL)
_WRAPPED: Final = re.compile(r"\{\s*@\s*:(.*)\}\s*\Z", re.DOTALL)
_TEXT: Final = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_LITERAL: Final = rf"-?\d+(?:\.\d+)?|true|false|nil|{_TEXT}"
_COMPARISON: Final = re.compile(rf"(len\s*\(\s*\$\s*\)|\$)\s*(<=|>=|==|!=|<|>)\s*({_LITERAL})")
_REGEXP: Final = re.compile(rf"regexp\s*\(\s*({_TEXT})\s*(?:,\s*\$\s*)?\)")
_TOKEN: Final = re.compile(rf"{_TEXT}|&&|\|\||[()]|[^'\"&|()]+|.", re.DOTALL)

_OF_VALUE: Final = {"<": "vt.lt", "<=": "vt.le", ">": "vt.gt", ">=": "vt.ge", "==": "vt.const", "!=": "vt.not_in"}


def constraints_of(expression: str) -> Constraints | None:
    """Return the constraints that an expression stands for; `None` if it is not understood."""
    text = _MESSAGE.sub("", expression.strip()).strip()
    wrapped = _WRAPPED.fullmatch(text)
    return _expression((wrapped[1] if wrapped is not None else text).strip())


def _expression(text: str) -> Constraints | None:
    text = _without_parentheses(text)
    alternatives = _split(text, "||")  # `&&` binds tighter
    if len(alternatives) > 1:
        return _alternatives(alternatives)
    parts = _split(text, "&&")
    if len(parts) == 1:
        return _comparison(text)
    found: Constraints = []
    for part in parts:
        constraints = _expression(part)
        # Only values of `vt.not_in` add up.
        if constraints is None or {name for name, _ in constraints if name != "vt.not_in"} & {
            name for name, _ in found
        }:
            return None
        found += constraints
    return found


def _alternatives(parts: list[str]) -> Constraints | None:
    found: Constraints = []
    for part in parts:
        match _comparison(_without_parentheses(part)):
            case [("vt.const", value)]:
                found.append(("vt.in", value))
            case _:
                return None
    return found


def _comparison(text: str) -> Constraints | None:
    if pattern := _REGEXP.fullmatch(text):
        return [("vt.pattern", _unquoted(pattern[1]))]
    found = _COMPARISON.fullmatch(text)
    if found is None:
        return None
    operand, operator, literal = found.groups()
    if operand != "$":
        return _of_length(operator, int(literal)) if re.fullmatch(r"-?\d+", literal) else None
    if literal == "nil":
        return [("vt.not_nil", "true")] if operator == "!=" else None
    return [(_OF_VALUE[operator], _unquoted(literal))]


def _of_length(operator: str, number: int) -> Constraints | None:
    least = {">": number + 1, ">=": number, "==": number}.get(operator)
    most = {"<": number - 1, "<=": number, "==": number}.get(operator)
    if operator == "!=" and number == 0:
        least = 1
    if (least is None and most is None) or (most is not None and most < 0):
        return None
    found = [("vt.min_size", str(max(least, 0)))] if least is not None else []
    return found if most is None else [*found, ("vt.max_size", str(most))]


def _unquoted(literal: str) -> str:
    return re.sub(r"\\(['\"\\])", r"\1", literal[1:-1]) if literal[0] in "'\"" else literal


def _split(text: str, operator: str) -> list[str]:
    """Split an expression at the operators that are not between parentheses."""
    parts = [""]
    depth = 0
    for token in _TOKEN.findall(text):
        depth += (token == "(") - (token == ")")
        if token == operator and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    return [part.strip() for part in parts]


def _without_parentheses(text: str) -> str:
    """Remove parentheses around the whole expression."""
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        tokens = list(_TOKEN.findall(text))
        for index, token in enumerate(tokens):
            depth += (token == "(") - (token == ")")
            if depth == 0 and index < len(tokens) - 1:
                return text
        if depth:
            return text
        text = text[1:-1].strip()
    return text
