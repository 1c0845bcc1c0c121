"""Steps of the parser: the actions of Lark's tables, prepared for the loop that takes most of the time of a parse.

Most optional parts are absent (`requiredness`, `annotations`, `separator`), and each is a rule without children whose
value is `None`. Such rules depend on the state and the next terminal only, so all that precede the next token are one
step. The other rules are called with their children.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lark.parsers.lalr_analysis import Shift

from idlc.syntax.lexer import END, Token

__all__ = ["Steps"]


class _Step(NamedTuple):
    """Step of the parser in a state before a terminal.

    Attributes:
        states: states to push.
        nothing: values to push, one for each absent part.
        build: builds the value of a rule from its children; `None` if the step shifts the token instead.
        size: number of children of the rule.
        rule: name of the rule.
    """

    states: tuple[int, ...]
    nothing: tuple[None, ...]
    build: Callable[[list[Any]], Any] | None
    size: int
    rule: str


class Steps:
    """Steps of all states, computed when they are first needed.

    Args:
        actions: for each state, the actions by the name of the next terminal or rule.
        callbacks: functions that build values, by rule.
        nothing: function that builds `None`.
        keywords: types of tokens that may be names instead.
    """

    def __init__(
        self,
        actions: Mapping[int, Mapping[str, tuple[Any, Any]]],
        callbacks: Mapping[Any, Callable[[list[Any]], Any]],
        nothing: Callable[[list[Any]], Any],
        keywords: frozenset[str],
    ) -> None:
        self._actions = actions
        self._callbacks = callbacks
        self._nothing = nothing
        self._keywords = keywords
        # By state and terminal. `None`: the terminal is not allowed, or the end of the file.
        self._known: dict[int, dict[str, _Step | None]] = {state: {} for state in actions}
        # For each state, the next state by the name of a rule.
        self._gotos = {
            state: {name: target for name, (_, target) in found.items() if not name.isupper()}
            for state, found in actions.items()
        }

    def take(self, tokens: Sequence[Token], index: int, stack: list[int], values: list[Any], max_depth: int) -> int:
        """Feed tokens to the parser as Lark's `feed_token` does, up to one that needs a closer look.

        That is the last token, one that is not allowed, and a keyword that may be a name.

        Args:
            index: of the first token.
            stack: states of the parser; parsing stops when there are more than `max_depth`.
            values: values of the parser.

        Returns:
            The index of the token that was not taken.
        """
        known, gotos, keywords = self._known, self._gotos, self._keywords
        while len(stack) <= max_depth:
            token = tokens[index]
            type = token.type
            state = stack[-1]
            try:
                step = known[state][type]
            except KeyError:
                step = self._add(state, type)
            if type in keywords and (step is None or step.build is not None or type == "CPP_TYPE"):
                return index
            while step is not None:
                states, nothing, build, size, rule = step
                stack += states
                values += nothing
                if build is None:
                    values.append(token)
                    break
                if size:
                    children = values[-size:]
                    del values[-size:], stack[-size:]
                else:
                    children = []
                values.append(build(children))
                state = gotos[stack[-1]][rule]
                stack.append(state)
                try:
                    step = known[state][type]
                except KeyError:
                    step = self._add(state, type)
            else:
                return index
            index += 1
        return index

    def _add(self, state: int, terminal: str) -> _Step | None:
        step = self._known[state][terminal] = self._step(state, terminal)
        return step

    def _step(self, state: int, terminal: str) -> _Step | None:
        pushed: list[int] = []
        while True:
            action, target = self._actions[state].get(terminal, (None, None))
            if action is None or terminal == END:
                return None
            if action is Shift:
                return _Step((*pushed, target), (None,) * len(pushed), None, 0, "")
            build, size, rule = self._callbacks[target], len(target.expansion), target.origin.name
            if size or build != self._nothing:
                return _Step(tuple(pushed), (None,) * len(pushed), build, size, rule)
            state = self._gotos[state][rule]
            pushed.append(state)
