"""Lookup of routes by verb and path.

The most specific template wins, segment by segment from the left: literal text, then text around a variable (the
longest text first), then a variable, then the rest of the path. If the rest of a path does not match, less specific
segments are tried. Every verb has its own tree, so `GET /users/{id}` and `POST /users/me` do not affect each other.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from idlrt.errors import ConfigurationError
from idlrt.protocol.http.routes import ANY_VERB, VERBS
from idlrt.protocol.http.templates import PathTemplate

__all__ = ["Found", "Router"]

R = TypeVar("R")

Found = tuple[R, tuple[bytes, ...]]
"""A route, and the raw values of its variables in their order."""

_MAX_SEGMENTS: Final = 128
_VERBS_OF_ANY: Final = tuple(verb for verb in VERBS if verb not in ("HEAD", "OPTIONS"))


class _Node(Generic[R]):
    __slots__ = ("literals", "parts", "rest", "route")

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node[R]] = {}
        # Segments with a variable: prefix, suffix and the node after it, the most specific first.
        self.parts: list[tuple[bytes, bytes, _Node[R]]] = []
        self.rest: R | None = None
        self.route: R | None = None


class Router(Generic[R]):
    """Table of routes, each with a verb and a template."""

    def __init__(self) -> None:
        self._static: dict[bytes, dict[bytes, R]] = {}
        self._trees: dict[bytes, _Node[R]] = {}
        self._known: dict[tuple[bytes, tuple[tuple[str, str, int], ...]], R] = {}

    def add(self, verb: str, template: PathTemplate, route: R) -> None:
        """Add a route.

        Raises:
            ConfigurationError: another route has the same verb and matches the same paths.
        """
        for each in _VERBS_OF_ANY if verb == ANY_VERB else (verb,):
            key = each.encode(), template.shape
            known = self._known.get(key)
            if known is not None:
                raise ConfigurationError(f"{known} and {route} match the same requests; change one of the paths")
            self._known[key] = route
            self._add(each.encode(), template, route)

    def _add(self, verb: bytes, template: PathTemplate, route: R) -> None:
        if not template.variables:
            self._static.setdefault(verb, {})[template.text.encode()] = route
        node = self._trees.setdefault(verb, _Node())
        for each in template.segments:
            prefix, suffix = each.prefix.encode(), each.suffix.encode()
            if not each.name:
                node = node.literals.setdefault(prefix, _Node())
            elif each.is_rest:
                node.rest = route
                return
            else:
                node = self._part(node, prefix, suffix)
        node.route = route

    def _part(self, node: _Node[R], prefix: bytes, suffix: bytes) -> _Node[R]:
        for known_prefix, known_suffix, after in node.parts:
            if (known_prefix, known_suffix) == (prefix, suffix):
                return after
        made: _Node[R] = _Node()
        node.parts.append((prefix, suffix, made))
        node.parts.sort(key=lambda part: -len(part[0]) - len(part[1]))
        return made

    def find(self, verb: bytes, path: bytes) -> Found[R] | None:
        """Return the route of a request, with the raw values of its variables; `None` if there is none.

        Args:
            verb: HTTP method.
            path: path without the query, as it arrived.
        """
        static = self._static.get(verb)
        if static is not None and (route := static.get(path)) is not None:
            return route, ()
        tree = self._trees.get(verb)
        if tree is None:
            return None
        return _find(tree, path[1:].split(b"/", _MAX_SEGMENTS), 0, ())

    def verbs(self, path: bytes) -> list[str]:
        """Return the verbs that have a route for a path."""
        return [verb for verb in VERBS if self.find(verb.encode(), path) is not None]


def _find(node: _Node[R], parts: list[bytes], at: int, values: tuple[bytes, ...]) -> Found[R] | None:
    if at == len(parts):
        return (node.route, values) if node.route is not None else None
    part = parts[at]
    literal = node.literals.get(part)
    if literal is not None and (found := _find(literal, parts, at + 1, values)) is not None:
        return found
    for prefix, suffix, after in node.parts:
        end = len(part) - len(suffix)
        # A variable is never empty.
        if end > len(prefix) and part.startswith(prefix) and part.endswith(suffix):
            found = _find(after, parts, at + 1, (*values, part[len(prefix) : end]))
            if found is not None:
                return found
    if node.rest is not None and any(parts[at:]):
        return node.rest, (*values, b"/".join(parts[at:]))
    return None
