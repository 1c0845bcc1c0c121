"""Parser: from a file to its syntax tree.

Lark provides the LALR parser. This module feeds it token by token, because it makes two decisions itself: whether a
keyword is a keyword or a name (depending on which tokens the parser accepts), and how to recover from errors.

Each error is reported once. A further error is not reported on the same line, or before a token was accepted.
"""

from __future__ import annotations

from typing import Any, cast

from lark import UnexpectedToken

from idlc.diagnostics import Fix, Label, Report
from idlc.source import SourceFile, Span
from idlc.syntax import nodes
from idlc.syntax.comments import attach
from idlc.syntax.error_context import ErrorContext, Hint
from idlc.syntax.expectations import acceptable, describe_expected, describe_token, is_acceptable
from idlc.syntax.grammar import Grammar, grammar
from idlc.syntax.hints import find_hint
from idlc.syntax.lexer import END, Token
from idlc.syntax.recovery import (
    Level,
    close,
    levels,
    looks_like_definition,
    next_function,
    reduce_completed,
    reduced_copy,
    resume,
    return_to,
    starts_line,
)
from idlc.syntax.unparsed_names import unparsed_names

__all__ = ["parse"]

_MAX_ERRORS = 20
_MAX_FAILURES = 200  # recoveries, most of them not reported; a file with more is not Thrift
_MAX_DEPTH = 400  # states on the parser's stack, about 100 levels of nested types or values
_DEFINITIONS = frozenset(
    {
        "STRUCT",
        "UNION",
        "EXCEPTION",
        "ENUM",
        "SENUM",
        "SERVICE",
        "TYPEDEF",
        "CONST",
        "INCLUDE",
        "NAMESPACE",
        "CPP_INCLUDE",
    }
)


def parse(source: SourceFile, report: Report) -> nodes.Document:
    """Parse one file.

    Errors are reported; elements with errors are missing from the tree, the rest of the file is parsed.
    """
    machine = grammar()
    found = Report()  # for this file: the parser reports nothing on lines with errors of the lexer
    tokens, comments = machine.lexer.scan(source, found)
    parser = _Parser(machine, source, tokens, found)
    items = parser.run()
    _report_errors(found, report)
    doc, docs = attach(source.text, comments, tokens, items)
    return nodes.Document(
        source=source,
        items=items,
        comments=tuple(comments),
        docs=docs,
        doc=doc,
        errors=tuple(parser.errors),
        unparsed_names=unparsed_names(source.text, tokens, items) if parser.errors else frozenset(),
    )


def _report_errors(found: Report, report: Report) -> None:
    """Report the errors of a file, up to a maximum number."""
    count = 0
    last_line = 0
    for diagnostic in found:
        if diagnostic.name == "syntax.character" and diagnostic.span is not None:
            if diagnostic.span.position.line == last_line:
                continue
            last_line = diagnostic.span.position.line
        if count == _MAX_ERRORS:
            message = f"more than {_MAX_ERRORS} syntax errors; the others are not shown"
            report.error("syntax.many", message, diagnostic.span)
            return
        count += 1
        report.add(diagnostic)


class _Parser:
    def __init__(self, machine: Grammar, source: SourceFile, tokens: list[Token], report: Report) -> None:
        self._machine = machine
        self._actions = machine.actions
        self._source = source
        self._tokens = tokens
        self._report = report
        self._state = machine.start()
        self._silent_lines = {d.span.position.line for d in report if d.span is not None}
        self._is_comment_open = any(d.name == "syntax.comment.unclosed" for d in report)
        self._last_failure = -1
        self._repaired: set[int] = set()
        self.errors: list[int] = []

    def run(self) -> tuple[nodes.Item, ...]:
        """Feed all tokens to the parser; return the items that were parsed."""
        tokens = self._tokens
        keywords = self._machine.lexer.keywords
        index = 0
        while True:
            state = self._state
            index = self._machine.steps.take(tokens, index, state.state_stack, state.value_stack, _MAX_DEPTH)
            token = tokens[index]
            try:
                if token.type in keywords and not self._is_keyword(index):
                    if self._is_unclosed(index):
                        if self._report.errors > _MAX_ERRORS:
                            return self._stop(index)
                        self._close_for(index)
                        continue
                    token = Token("NAME", token.text, token.start, token.end)
                if len(self._state.state_stack) > _MAX_DEPTH:
                    index = self._reject_depth(index)
                    continue
                result: Any = self._state.feed_token(token, token.type == END)
            except UnexpectedToken:
                if self._report.errors > _MAX_ERRORS or len(self.errors) >= _MAX_FAILURES:
                    return self._stop(index)
                index = self._recover(index)
                continue
            if token.type == END:
                return result  # type: ignore[no-any-return]
            index += 1

    def _is_keyword(self, index: int) -> bool:
        """Return whether the keyword at `index` is one, and not a name, in the current state."""
        type = self._tokens[index].type
        return is_acceptable(self._actions, self._state.state_stack, type) and (
            type != "CPP_TYPE" or self._tokens[index + 1].type == "STRING"
        )

    # Unclosed lists

    def _is_unclosed(self, index: int) -> bool:
        """Return whether a list seems to be unclosed before the token at `index`.

        That is, a definition begins here inside another one, or a function or `throws` inside a list of arguments.
        """
        type = self._tokens[index].type
        if index in self._repaired:
            return False
        is_throws = type == "THROWS" and self._tokens[index + 1].type == "LPAR"
        if is_throws or (type in ("VOID", "ONEWAY") and starts_line(self._source, self._tokens, index)):
            opener = self._last_opener()
            return opener is not None and opener.text == "("
        if type not in _DEFINITIONS or not looks_like_definition(self._source, self._tokens, index):
            return False
        lists = levels(self._state, self._actions)
        values = self._state.value_stack
        first = values[lists[-1].depth] if lists and len(values) > lists[-1].depth else None
        if not isinstance(first, Token):
            return False
        return self._column(self._tokens[index]) <= self._column(first)

    def _column(self, token: Token) -> int:
        return self._source.position(token.start).column

    def _close_for(self, index: int) -> None:
        """Close all open lists before a definition at `index`, or the list of arguments before a function."""
        self._repaired.add(index)
        token = self._tokens[index]
        reduce_completed(self._state, self._actions)
        lists = levels(self._state, self._actions)
        self._report_unclosed(lists, index)
        if token.type in _DEFINITIONS:
            self._close_all(index)
        elif lists[0].element == "field":
            close(
                lists[0],
                self._state,
                self._actions,
                self._tokens[index - 1].end,
                is_element_done=token.type != "THROWS",
            )
        else:
            return_to(lists[0], self._state, self._actions)
        self._last_failure = index

    def _close_all(self, index: int) -> None:
        lists = levels(self._state, self._actions)
        while len(lists) > 1:
            close(lists[0], self._state, self._actions, self._tokens[index - 1].end)
            following = levels(self._state, self._actions)
            if len(following) >= len(lists):  # the bracket did not close the list
                return_to(lists[1], self._state, self._actions)
                following = levels(self._state, self._actions)
            lists = following
        return_to(lists[0], self._state, self._actions)

    def _report_unclosed(self, lists: list[Level], index: int) -> None:
        opener = self._last_opener() or lists[0].opener
        if opener is None:
            self._report_unexpected(index, lists)
            return
        token = self._tokens[index]
        closer = {"{": "}", "(": ")", "[": "]"}[opener.text]
        at = Span(self._source, token.start, token.end)
        found = "a new definition" if token.type in _DEFINITIONS else "the next function"
        if token.type == "THROWS":
            found = "`throws`"
        if token.type == END:
            found = "end of file"
            end = self._tokens[index - 1].end
            at = Span(self._source, end - 1, end)
        self._report_error(
            index,
            "syntax.unclosed",
            f"expected `{closer}`, found {found}",
            at,
            labels=(Label(Span(self._source, opener.start, opener.end), "unclosed"),),
            help=f"close it with `{closer}`",
        )

    def _last_opener(self) -> Token | None:
        for value in reversed(self._state.value_stack):
            if isinstance(value, Token) and value.text in ("{", "(", "["):
                return value
        return None

    # Other errors

    def _recover(self, index: int) -> int:
        """Report the error at `index`, recover, and return the index of the token with which parsing continues."""
        token = self._tokens[index]
        lists = levels(reduced_copy(self._state, self._actions), self._actions)
        is_stuck = self._last_failure == index
        function = next_function(lists[0], self._source, self._tokens, index)
        if function is not None and function not in self._repaired:
            return_to(levels(self._state, self._actions)[0], self._state, self._actions)
            self._close_for(function)
            return function
        hint = None
        if token.type == END and (len(lists) > 1 or self._last_opener() is not None):
            self._report_unclosed(lists, index)
        else:
            hint = self._report_unexpected(index, lists)
            if hint is not None and hint.repair and index not in self._repaired:
                self._repaired.add(index)
                return self._repair(index, hint)
        reduce_completed(self._state, self._actions)
        if hint is not None and hint.drop:
            self._drop(self._tokens[index - hint.drop].start)
        self._last_failure = index
        start = index + 1 if is_stuck and token.type != END else index
        resumed = resume(self._state, self._actions, self._source, self._tokens, index, start)
        if resumed == index and token.type == END:
            self._close_all(index)
        if resumed > index:
            self._last_failure = resumed
        return resumed

    def _repair(self, index: int, hint: Hint) -> int:
        token = self._tokens[index]
        if hint.repair == "skip":
            index = min(index + hint.count, len(self._tokens) - 1)
            if hint.is_specific and self._tokens[index].text in (",", ";"):
                index += 1
            return index
        if hint.repair == "insert":
            self._tokens.insert(index, Token(hint.type, "", token.start, token.start))
        else:
            self._tokens[index] = Token(hint.type, token.text, token.start, token.end, token.text)
        return index

    def _drop(self, start: int) -> None:
        """Remove elements that end after `start`, and lists that begin after it."""
        for level in levels(self._state, self._actions):
            if level.opener is None or level.opener.start < start:
                return_to(level, self._state, self._actions)
                elements = cast("list[nodes.Node]", self._state.value_stack[-1])
                elements[:] = [node for node in elements if node.end <= start]
                return

    def _report_unexpected(self, index: int, lists: list[Level]) -> Hint | None:
        token = self._tokens[index]
        level = lists[0]
        context = ErrorContext(
            source=self._source,
            tokens=self._tokens,
            index=index,
            list=level.element,
            opener=level.opener.text if level.opener is not None else "",
            is_between=level.element in self._actions[reduced_copy(self._state, self._actions).state_stack[-1]],
            acceptable=frozenset(acceptable(self._actions, self._state.state_stack)),
        )
        hint = find_hint(context)
        name, message, help = "syntax.unexpected", "", ""
        fixes: tuple[Fix, ...] = ()
        first = last = token
        if hint is not None:
            name, message, help = hint.name, hint.message, hint.help
            first = self._tokens[max(0, index + hint.shown[0])]
            last = self._tokens[min(len(self._tokens) - 1, index + hint.shown[1])]
        span = Span(self._source, first.start, last.end)
        if hint is not None and hint.fix:
            fixes = (Fix(span, hint.fix, is_safe=False),)
        if not message:
            expected, found = self._expected(level), describe_token(token)
            message = f"expected {expected}, found {found}" if expected else f"unexpected {found}"
        if token.type == END and first is token:
            end = self._tokens[index - 1].end if index else 0
            span = Span(self._source, max(0, end - 1), end)
        labels: tuple[Label, ...] = ()
        opener = self._last_opener()
        closes = {"{": "}", "(": ")", "[": "]"}
        if opener is not None and token.text in ("}", ")", "]") and closes[opener.text] != token.text:
            labels = (Label(Span(self._source, opener.start, opener.end), "unclosed"),)
        is_specific = hint is not None and hint.is_specific
        self._report_error(index, name, message, span, is_specific=is_specific, help=help, fixes=fixes, labels=labels)
        return hint

    def _expected(self, level: Level) -> str:
        is_argument = level.element == "field" and level.opener is not None and level.opener.text == "("

        def rename(words: str) -> str:
            return words.replace("a field", "an argument", 1) if is_argument else words

        return describe_expected(self._actions, self._state.state_stack, self._machine.lexer.texts, rename)

    def _report_error(
        self, index: int, name: str, message: str, span: Span, *, is_specific: bool = False, **details: Any
    ) -> None:
        """Report an error, unless it is probably a consequence of an earlier one."""
        token = self._tokens[index]
        self.errors.append(token.start)
        line = span.position.line
        if (
            (self._last_failure == index and not is_specific)
            or line in self._silent_lines
            or (self._is_comment_open and token.type == END)
        ):
            return
        self._silent_lines.add(line)
        self._report.error(name, message, span, **details)

    def _reject_depth(self, index: int) -> int:
        """Report values or types that are nested too deeply, and recover."""
        token = self._tokens[index]
        self._report_error(
            index,
            "syntax.depth",
            "nested too deeply",
            Span(self._source, token.start, token.end),
            help="declare typedefs or constants for the inner parts",
        )
        self._last_failure = index
        reduce_completed(self._state, self._actions)
        return resume(self._state, self._actions, self._source, self._tokens, index, index + (token.type != END))

    def _stop(self, index: int) -> tuple[nodes.Item, ...]:
        """Stop parsing a file with too many errors; return the items that were parsed."""
        self.errors.append(self._tokens[index].start)
        reduce_completed(self._state, self._actions)
        self._close_all(index)
        try:
            return self._state.feed_token(self._tokens[-1], True)  # type: ignore[no-any-return]
        except UnexpectedToken:
            return ()
