"""Templates of HTTP paths: `/v1/users/{id}`, `/files/{name=**}`, `/v{version}`, `/v1/users/{id}:cancel`.

The notation is that of `google.api.http` without nested fields. Each segment has at most one variable, which may stand
between literal text; `{name=**}` stands for the rest of the path. CloudWeGo's notation, `:name` and `*name`, is
rewritten to it, so that the runtime knows one notation only.

Source: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

__all__ = ["InvalidTemplate", "PathTemplate", "Segment", "parse_template", "rewrite_path", "rewrite_route"]

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_COLON_SEGMENT: Final = re.compile(rf"/:({_NAME})(?=/|\Z)")
_COLON_ANYWHERE: Final = re.compile(rf"(?<=/)([^/:{{}}*]*):({_NAME})(?=/|\Z)")
_REST: Final = re.compile(rf"/\*({_NAME})(?=/|\Z)")
_ONE_SEGMENT: Final = re.compile(rf"\{{({_NAME})=\*\}}")
_VARIABLE: Final = re.compile(rf"([^{{}}]*)\{{({_NAME})(=\*\*)?\}}([^{{}}]*)")
_LITERAL: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()+,;=@-]|%[0-9A-Fa-f]{2})*")
"""Characters of a segment in RFC 3986 without `:` and `*`, which have a meaning in templates."""
_VERB: Final = re.compile(rf"(.+?)(:{_NAME})")


class InvalidTemplate(ValueError):
    """A path that is not a valid template. Its text is the reason."""


class Segment(msgspec.Struct, frozen=True):
    """Part of a path between two slashes.

    Attributes:
        prefix: text before the variable; the whole segment if there is no variable.
        variable: name of the variable, or `None`.
        suffix: text after the variable.
        is_rest: whether the variable stands for all remaining segments.
    """

    prefix: str
    variable: str | None = None
    suffix: str = ""
    is_rest: bool = False

    @property
    def shape(self) -> str:
        """The segment without the name of its variable."""
        return self.prefix if self.variable is None else f"{self.prefix}{{{'**' * self.is_rest}}}{self.suffix}"


class PathTemplate(msgspec.Struct, frozen=True):
    """A valid template.

    Attributes:
        segments: at least one; the last one is empty if the path ends in a slash.
    """

    segments: tuple[Segment, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables in the order of the path."""
        return tuple(each.variable for each in self.segments if each.variable is not None)

    @property
    def shape(self) -> str:
        """The template without the names of its variables: two templates of one shape match the same paths."""
        return "".join(f"/{segment.shape}" for segment in self.segments)


def rewrite_path(path: str) -> str:
    """Replace `:name`, `*name` and `{name=*}` in own notation; what is not understood stays as it is."""
    return _REST.sub(r"/{\1=**}", _COLON_SEGMENT.sub(r"/{\1}", _ONE_SEGMENT.sub(r"{\1}", path)))


def rewrite_route(path: str) -> str:
    """Rewrite a path of an `api.*` annotation.

    As in Hertz, a colon also starts a variable behind a prefix (`/v:version`), and the leading slash may be missing.
    """
    whole = path if path.startswith("/") else f"/{path}"
    return _REST.sub(r"/{\1=**}", _COLON_ANYWHERE.sub(r"\1{\2}", whole))


def parse_template(path: str) -> PathTemplate:
    """Parse a rewritten path.

    Raises:
        InvalidTemplate: the path is not a valid template.
    """
    if not path.startswith("/"):
        raise InvalidTemplate("it must start with `/`")
    segments: list[Segment] = []
    names: set[str] = set()
    parts = path[1:].split("/")
    for index, part in enumerate(parts):
        is_last = index == len(parts) - 1
        segment = _segment(part, is_last=is_last)
        if not part and not is_last:
            raise InvalidTemplate("it has an empty segment")
        if segment.is_rest and not is_last:
            raise InvalidTemplate(f"`{part}` stands for the rest of the path and must be last")
        if segment.is_rest and (segment.prefix or segment.suffix):
            raise InvalidTemplate(f"variable `{segment.variable}` must be a whole segment")
        if segment.variable in names:
            raise InvalidTemplate(f"variable `{segment.variable}` is used twice")
        if segment.variable is not None:
            names.add(segment.variable)
        segments.append(segment)
    return PathTemplate(tuple(segments))


def _segment(text: str, *, is_last: bool) -> Segment:
    # Only the last segment ends in a verb: elsewhere a colon is a mistake for a variable.
    verb = _VERB.fullmatch(text) if is_last else None
    rest, end = (text, "") if verb is None else verb.groups()
    if "{" not in rest and "}" not in rest:
        return Segment(_literal(rest) + end)
    found = _VARIABLE.fullmatch(rest)
    if found is None:
        raise InvalidTemplate(f"`{text}` is not a valid segment")
    prefix, name, pattern, suffix = found.groups()
    return Segment(_literal(prefix), name, _literal(suffix) + end, pattern is not None)


def _literal(text: str) -> str:
    found = _LITERAL.match(text)
    end = 0 if found is None else found.end()
    if end < len(text):
        raise InvalidTemplate(f"{text[end]!r} is not allowed in it")
    return text
