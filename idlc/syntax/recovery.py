"""Recovery from syntax errors.

The parser is always inside nested lists: items of the file, members of an enum, functions of a service, fields or
arguments. After an error, the broken element is dropped, tokens are skipped up to the probable start of the next
element, and parsing continues in the innermost list that contains it; earlier elements of the list are kept.

Parsing continues at the first of: a separator or the closing bracket of a list; a line that looks like the next
element; a line that looks like a definition, which also closes unclosed lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import msgspec
from lark import UnexpectedToken

from idlc.source import SourceFile
from idlc.syntax.expectations import acceptable
from idlc.syntax.grammar import ParserState
from idlc.syntax.lexer import END, Token

__all__ = [
    "Level",
    "close",
    "levels",
    "looks_like_definition",
    "next_function",
    "reduce_completed",
    "reduced_copy",
    "resume",
    "return_to",
    "starts_line",
]

Actions = Mapping[int, Mapping[str, tuple[Any, Any]]]

_BLOCKS = frozenset({"STRUCT", "UNION", "EXCEPTION", "ENUM", "SENUM", "SERVICE"})
_LINES = frozenset({"TYPEDEF", "CONST", "INCLUDE", "NAMESPACE", "CPP_INCLUDE"})
_OPENERS = {"LBRACE": "RBRACE", "LPAR": "RPAR", "LSQB": "RSQB"}
_CLOSERS = frozenset(_OPENERS.values())
_ELEMENTS = ("item", "member", "function", "field")


# Terminals that can only be the start of the next element of a list.
_FIRST = {"item": "STRUCT", "function": "ONEWAY", "field": "INT", "member": "NAME"}


class Level(msgspec.Struct):
    """List that contains the current position of the parser.

    Attributes:
        element: kind of its elements.
        depth: index in the parser's stack of the state in which the next element can begin.
        opener: bracket that opened the list, `None` for the top level of the file.
        is_new: whether the list is not yet on the stack, because its bracket was the last token.
    """

    element: str
    depth: int
    opener: Token | None
    is_new: bool = False

    @property
    def closer(self) -> str:
        """Type of the token that closes the list."""
        return _OPENERS[self.opener.type] if self.opener is not None else END


def levels(state: ParserState, actions: Actions) -> list[Level]:
    """Return the lists that contain the current position, innermost first."""
    found: list[Level] = []
    stack = state.state_stack
    above: Mapping[str, Any] = {}
    for depth in range(len(stack) - 1, -1, -1):
        here = actions[stack[depth]]
        following = state.value_stack[depth] if depth < len(state.value_stack) else None
        is_over = isinstance(following, Token) and following.type in _CLOSERS
        for element in _ELEMENTS:
            if is_over:
                continue
            if element in here:
                found.append(Level(element, depth, _opener(state, depth - 1)))
            elif f"{element}s" in here and element not in above:
                found.append(Level(element, depth, _opener(state, depth), is_new=True))
        above = here
    return found


def reduce_completed(state: ParserState, actions: Actions) -> None:
    """Build elements that are complete. The parser does so only when it sees the token that follows them."""
    found = acceptable(actions, state.state_stack)
    for element, terminal in _FIRST.items():
        taken_in = found.get(terminal)
        if taken_in is not None and element in actions[taken_in]:
            state.feed_token(Token(terminal, "", 0, 0))
            state.state_stack.pop()
            state.value_stack.pop()
            return


def reduced_copy(state: ParserState, actions: Actions) -> ParserState:
    """Return a copy of `state` after `reduce_completed`, for lookups only: its values are not built."""
    probe = state.copy(deepcopy_values=False)
    probe.parse_conf = copy(state.parse_conf)
    probe.parse_conf.callbacks = {}
    reduce_completed(probe, actions)
    return probe


def _opener(state: ParserState, depth: int) -> Token | None:
    value = state.value_stack[depth - 1] if depth > 0 else None
    return value if isinstance(value, Token) and value.type in _OPENERS else None


def return_to(level: Level, state: ParserState, actions: Actions) -> None:
    """Drop everything on the stack above a list."""
    del state.state_stack[level.depth + 1 :]
    del state.value_stack[level.depth :]
    if level.is_new:
        state.state_stack.append(actions[state.state_stack[-1]][f"{level.element}s"][1])
        state.value_stack.append([])
        level.depth += 1
        level.is_new = False


def close(level: Level, state: ParserState, actions: Actions, offset: int, *, is_element_done: bool = True) -> None:
    """Drop everything on the stack above a list, and close the list as if its closing bracket were at `offset`.

    Args:
        is_element_done: whether the element that contains the list ends with it.
    """
    return_to(level, state, actions)
    if level.opener is None:
        return
    depth, values = list(state.state_stack), list(state.value_stack)
    try:
        state.feed_token(Token(level.closer, "", offset, offset))
    except UnexpectedToken:
        state.state_stack[:], state.value_stack[:] = depth, values
    else:
        if is_element_done:
            reduce_completed(state, actions)


def looks_like_definition(source: SourceFile, tokens: Sequence[Token], index: int) -> bool:
    """Return whether a definition or header seems to begin here: a keyword at the start of a line, with valid tokens
    after it."""
    token = tokens[index]
    if not starts_line(source, tokens, index) or (token.type not in _BLOCKS and token.type not in _LINES):
        return False
    following = tokens[index + 1 : index + 4]
    if len(following) < 2:
        return False
    if token.type in ("INCLUDE", "CPP_INCLUDE"):
        return following[0].type == "STRING"
    if token.type in _BLOCKS:
        is_named = following[0].text[:1].isidentifier()
        return is_named and following[1].type in ("LBRACE", "EXTENDS", "XSD_ALL")
    if token.type == "NAMESPACE":
        is_named = following[1].text[:1].isidentifier() or following[1].type == "STRING"
        return is_named and "\n" not in source.text[token.end : following[1].start]
    is_typed = following[0].text[:1].isidentifier() and len(following) == 3
    return (
        is_typed
        and "\n" not in source.text[token.end : following[1].start]
        and following[1].type
        in (
            "NAME",
            "LESSTHAN",
            "LPAR",
            "CPP_TYPE",
            "EQUAL",
        )
    )


def starts_line(source: SourceFile, tokens: Sequence[Token], index: int) -> bool:
    """Return whether a token is the first one on its line."""
    return index == 0 or "\n" in source.text[tokens[index - 1].end : tokens[index].start]


def resume(
    state: ParserState, actions: Actions, source: SourceFile, tokens: Sequence[Token], index: int, start: int
) -> int:
    """Recover from an error at `index`, and return the index of the token with which parsing continues.

    Args:
        start: index of the first token to consider; `index` or later.
    """
    lists = levels(state, actions)
    pending = _open_brackets(state.value_stack[lists[0].depth :])
    left = _column(state, lists[-1], source)
    if _is_field_in_brackets(lists[0], pending, source, tokens, index - 1):
        return_to(lists[0], state, actions)
        return index - 1
    position = start
    while True:
        token = tokens[position]
        is_definition = looks_like_definition(source, tokens, position) or (
            # A line that starts with a keyword and is indented no more than the current definition is a definition,
            # whatever follows the keyword.
            position > index
            and (token.type in _BLOCKS or token.type in _LINES)
            and starts_line(source, tokens, position)
            and source.position(token.start).column <= left
        )
        if token.type == END or is_definition:
            for level in levels(state, actions)[:-1]:
                close(level, state, actions, tokens[position - 1].end if position else 0)
            return_to(levels(state, actions)[-1], state, actions)
            return position
        if token.type in _OPENERS:
            pending.append(_OPENERS[token.type])
        elif token.type in _CLOSERS:
            if pending and (pending[-1] == token.type or token.type in pending):
                while pending.pop() != token.type:
                    pass
                is_body = lists[0].element == "item" and token.type == "RBRACE"
                if not pending and is_body and starts_line(source, tokens, position + 1):
                    return_to(lists[0], state, actions)
                    return position + 1
            else:
                closed = next((level for level in lists if level.closer == token.type), None)
                if closed is not None:
                    return_to(closed, state, actions)
                    return position
        elif not pending and token.type in ("COMMA", "SEMICOLON"):
            if lists[0].element != "item" or _resembles_definition(source, tokens, position + 1):
                return_to(lists[0], state, actions)
                return position + 1
        elif position > index and _is_argument_list(lists[0]) and looks_like_function(source, tokens, position):
            close(lists[0], state, actions, tokens[position - 1].end)
            return position
        elif (
            position > index
            and (not pending or (lists[0].element == "field" and pending[-1] != "RBRACE"))
            and starts_line(source, tokens, position)
            and _begins(lists[0].element, tokens, position)
        ):
            return_to(lists[0], state, actions)
            return position
        position += 1


def _is_argument_list(level: Level) -> bool:
    return level.element == "field" and level.opener is not None and level.opener.type == "LPAR"


def _resembles_definition(source: SourceFile, tokens: Sequence[Token], index: int) -> bool:
    """Return whether something like a definition begins here, even if its first word is not a keyword."""
    token = tokens[index]
    if token.type in _BLOCKS or token.type in _LINES:
        return True
    if not starts_line(source, tokens, index) or not token.text[:1].isidentifier() or len(tokens) < index + 3:
        return False
    following, after = tokens[index + 1], tokens[index + 2]
    return following.type == "STRING" or (following.text[:1].isidentifier() and after.text in ("{", "extends"))


def _open_brackets(values: Sequence[object]) -> list[str]:
    """Return the types of the closing brackets that are missing in the dropped values."""
    pending: list[str] = []
    for value in values:
        if isinstance(value, Token):
            if value.type in _OPENERS:
                pending.append(_OPENERS[value.type])
            elif pending and value.type == pending[-1]:
                pending.pop()
    return pending


def next_function(level: Level, source: SourceFile, tokens: Sequence[Token], index: int) -> int | None:
    """Return the start of a function that was parsed as an argument of the previous function, or `None`.

    That happens if the bracket of the previous function is unclosed: in `string name(1:`, the name is parsed as the
    name of a field, the bracket as that of its annotations, and the number is the error.
    """
    if level.opener is None or not _is_argument_list(level):
        return None
    if tokens[index].type != "INT" or tokens[index - 1].type != "LPAR" or tokens[index + 1].type != "COLON":
        return None
    for start in range(index - 3, max(index - 20, 0), -1):
        if starts_line(source, tokens, start):
            is_later = tokens[start].start > level.opener.start
            return start if is_later and looks_like_function(source, tokens, start) else None
    return None


def looks_like_function(source: SourceFile, tokens: Sequence[Token], index: int) -> bool:
    """Return whether a function seems to begin at the start of this line: a type, a name, a list of arguments."""
    if not starts_line(source, tokens, index):
        return False
    end = index
    while end < index + 16 and (tokens[end].text[:1].isidentifier() or tokens[end].text in ("<", ">", ",")):
        end += 1
    if end < index + 2 or tokens[end].type != "LPAR" or not tokens[end - 1].text[:1].isidentifier():
        return False
    following = tokens[end + 1]
    return following.type == "RPAR" or (following.type == "INT" and tokens[end + 2].type == "COLON")


def _column(state: ParserState, top: Level, source: SourceFile) -> int:
    """Return the column of the current definition; 1 between definitions."""
    values = state.value_stack[top.depth :]
    return source.position(values[0].start).column if values and isinstance(values[0], Token) else 1


def _is_field_in_brackets(
    level: Level, pending: Sequence[str], source: SourceFile, tokens: Sequence[Token], index: int
) -> bool:
    """Return whether the token before the error started a field and was parsed as a value of an unclosed list."""
    if level.element != "field" or not pending or pending[-1] == "RBRACE" or index < 0:
        return False
    return starts_line(source, tokens, index) and _begins("field", tokens, index) and tokens[index].type == "INT"


def _begins(element: str, tokens: Sequence[Token], index: int) -> bool:
    """Return whether the next element of a list seems to begin with this token, which is the first on its line."""
    token, following = tokens[index], tokens[index + 1]
    if element == "field":
        is_numbered = token.type == "INT" and following.type == "COLON"
        return is_numbered or token.type in ("REQUIRED", "OPTIONAL")
    if element == "member":
        return token.type == "NAME" and following.type in ("EQUAL", "COMMA", "SEMICOLON", "RBRACE")
    if element == "function":
        return token.type in ("ONEWAY", "VOID", "NAME", "LIST", "SET", "MAP") and following.type != "EQUAL"
    return False
