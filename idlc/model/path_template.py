"""Templates of HTTP paths: `/v1/users/{id}`, `/files/{name=**}`, `/v{version}`, `/v1/users/{id}:cancel`.

The notation is that of `google.api.http`, without wildcards that have no name and without nested fields. Each segment
has at most one variable, which may follow a literal prefix; `{name=**}` stands for the rest of the path. CloudWeGo's
notation, `:name` and `*name`, is rewritten to it, so that the runtime knows one notation only.

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
_VARIABLE: Final = re.compile(rf"([^{{}}]*)\{{({_NAME})(=\*\*|=\*)?\}}")
_LITERAL: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()+,;=@-]|%[0-9A-Fa-f]{2})*")
"""Characters of a segment in RFC 3986 without `:` and `*`, which have a meaning in templates."""


class InvalidTemplate(ValueError):
    """A path that is not a valid template. Its text is the reason."""


class Segment(msgspec.Struct, frozen=True):
    """Part of a path between two slashes.

    Attributes:
        literal: the text; with a variable, the text before it.
        variable: name of the variable, or `None`.
        is_rest: whether the variable stands for all remaining segments.
    """

    literal: str
    variable: str | None = None
    is_rest: bool = False

    @property
    def shape(self) -> str:
        """The segment without the name of its variable."""
        return self.literal if self.variable is None else f"{self.literal}{{{'**' if self.is_rest else ''}}}"


class PathTemplate(msgspec.Struct, frozen=True):
    """A valid template.

    Attributes:
        segments: at least one; the last one is empty if the path ends in a slash.
        verb: the text after the colon of the last segment, such as `cancel`; may be empty.
    """

    segments: tuple[Segment, ...]
    verb: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables in the order of the path."""
        return tuple(each.variable for each in self.segments if each.variable is not None)

    @property
    def shape(self) -> str:
        """The template without the names of its variables: two templates of one shape match the same paths."""
        path = "".join(f"/{segment.shape}" for segment in self.segments)
        return f"{path}:{self.verb}" if self.verb else path


def rewrite_path(path: str) -> str:
    """Replace segments `:name` and `*name` by `{name}` and `{name=**}`; what is not understood stays as it is."""
    return _REST.sub(r"/{\1=**}", _COLON_SEGMENT.sub(r"/{\1}", path))


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
    *inner, last = path[1:].split("/")
    last, verb = _verb(last)
    segments = tuple(map(_segment, [*inner, last]))
    names: set[str] = set()
    for index, segment in enumerate(segments):
        if not segment.shape and index < len(segments) - 1:
            raise InvalidTemplate("it has an empty segment")
        if segment.is_rest and index < len(segments) - 1:
            raise InvalidTemplate(f"variable `{segment.variable}` stands for the rest of the path and must be last")
        if segment.variable in names:
            raise InvalidTemplate(f"variable `{segment.variable}` is used twice")
        if segment.variable is not None:
            names.add(segment.variable)
    return PathTemplate(segments, verb)


def _verb(segment: str) -> tuple[str, str]:
    """Split `{id}:cancel` into the segment and the verb."""
    before, colon, after = segment.rpartition(":")
    if not colon or "}" in after:
        return segment, ""
    if not before or not re.fullmatch(_NAME, after):
        raise InvalidTemplate(f"`{segment}` is not a valid segment")
    return before, after


def _segment(text: str) -> Segment:
    if "{" not in text and "}" not in text:
        return Segment(_literal(text))
    found = _VARIABLE.fullmatch(text)
    if found is None:
        raise InvalidTemplate(f"`{text}` is not a valid segment")
    literal, name, pattern = found.groups()
    is_rest = pattern == "=**"
    if is_rest and literal:
        raise InvalidTemplate(f"variable `{name}` stands for the rest of the path and cannot have a prefix")
    return Segment(_literal(literal), name, is_rest)


def _literal(text: str) -> str:
    found = _LITERAL.match(text)
    end = 0 if found is None else found.end()
    if end < len(text):
        raise InvalidTemplate(f"{text[end]!r} is not allowed in it")
    return text
