"""Descriptions of the tokens that the parser expects: "a field name", "`,` or `}`".

The state of the parser knows terminals (`NAME`, `COMMA`), but readers think in rules (a type, a field). For each
acceptable terminal, this module finds the state in which it would be shifted, and the rule that would begin there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lark.parsers.lalr_analysis import Shift

from idlc.syntax.lexer import END, Token

__all__ = ["acceptable", "describe_expected", "describe_token", "is_acceptable"]

Actions = Mapping[int, Mapping[str, tuple[Any, Any]]]

# Rules with names that readers know. A rule that can begin with another one precedes it: a field begins with a type.
_RULES = {
    "item": "a definition",
    "field": "a field",
    "function": "a function",
    "member": "an enum member",
    "annotation": "an annotation",
    "pair": "a key",
    "typedef_name": "a name for the typedef",
    "const_name": "a name for the constant",
    "enum_name": "a name for the enum",
    "struct_name": "a name",
    "service_name": "a name for the service",
    "member_name": "an enum member",
    "field_name": "a field name",
    "function_name": "a function name",
    "base_service": "a service",
    "annotation_name": "an annotation",
    "annotation_text": "a string",
    "alias": "an alias",
    "scope": "a language or `*`",
    "namespace_name": "a namespace",
    "number": "an integer",
    "value": "a value",
    "result": "a type",
    "type": "a type",
}
_TERMINALS = {"STRING": "a string", "INT": "an integer", "DOUBLE": "a number", "NAME": "a name", END: "end of file"}

# Acceptable in most places, so that listing them would obscure the other ones.
_MINOR = ("XSD_OPTIONAL", "XSD_NILLABLE", "XSD_ATTRS", "XSD_ALL", "CPP_TYPE", "AMPERSAND", "AS", "REQUIRED", "OPTIONAL")
_SHADOWED = ("SEMICOLON", "EQUAL", "LPAR")


def acceptable(actions: Actions, stack: Sequence[int]) -> dict[str, int]:
    """Return the terminals that can come next, each with the state in which it would be shifted."""
    found: dict[str, int] = {}
    for terminal in actions[stack[-1]]:
        if terminal.isupper():
            state = _taken_in(actions, list(stack), terminal)
            if state is not None:
                found[terminal] = state
    return found


def is_acceptable(actions: Actions, stack: Sequence[int], terminal: str) -> bool:
    """Return whether a terminal can come next.

    An action for the terminal in the current state is not sufficient: in an LALR table it may be a reduction that is
    only valid in another context.
    """
    action, _ = actions[stack[-1]].get(terminal, (None, None))
    return action is Shift or (action is not None and _taken_in(actions, list(stack), terminal) is not None)


def _taken_in(actions: Actions, stack: list[int], terminal: str) -> int | None:
    while True:
        action, target = actions[stack[-1]].get(terminal, (None, None))
        if action is None:
            return None
        if action is Shift:
            return stack[-1]
        if terminal == END and target.origin.name == "document":
            return stack[-1]
        if target.expansion:
            del stack[-len(target.expansion) :]
        stack.append(actions[stack[-1]][target.origin.name][1])


def describe_expected(
    actions: Actions, stack: Sequence[int], text_of: Mapping[str, str], rename: Callable[[str], str] = str
) -> str:
    """Return the tokens and rules that can come next, as in "expected a field or `}`"; empty if none has a name.

    Args:
        actions: parser table.
        stack: parser states.
        text_of: texts of keywords and symbols, by type.
        rename: returns the name of a rule in the current context (a field of a function is an argument).
    """
    here = actions[stack[-1]]
    whole = next((rule for rule in ("item", "field", "function", "member", "annotation", "pair") if rule in here), None)
    rules: dict[str, None] = {}
    symbols: dict[str, None] = {}
    for terminal, state in acceptable(actions, stack).items():
        if terminal in _MINOR:
            continue
        rule = (
            whole if whole is not None and terminal not in ("RBRACE", "RPAR", END) else _rule(actions[state], terminal)
        )
        if rule is not None:
            rules[rename(_RULES[rule])] = None
        else:
            symbols[terminal] = None
    if "COMMA" in symbols:
        for terminal in _SHADOWED:
            symbols.pop(terminal, None)
    if rules or len(symbols) > 1:
        symbols.pop("LPAR", None)
    if "a definition" in rules:
        symbols.pop("COMMA", None)
    if len(rules) > 1 and any(word in rules for word in ("a field", "an argument")):
        rules.pop("a type", None)
    words = [*rules, *(_TERMINALS.get(symbol) or f"`{text_of.get(symbol, symbol)}`" for symbol in sorted(symbols))]
    if len(words) > 1 and "end of file" in words:
        words.remove("end of file")
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _rule(gotos: Mapping[str, Any], terminal: str) -> str | None:
    if terminal in ("RBRACE", "RPAR", "RSQB", "COMMA", "SEMICOLON", "EQUAL", "MORETHAN", END):
        return None
    if terminal == "LPAR":
        return None
    return next((rule for rule in _RULES if rule in gotos), None)


def describe_token(token: Token) -> str:
    """Return a token as shown in messages."""
    if token.type == END:
        return "end of file"
    text = token.text if len(token.text) <= 32 else f"{token.text[:29]}..."
    return text if token.type == "STRING" else f"`{text}`"
