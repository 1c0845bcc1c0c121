"""Path templates: `/v1/users/{id}`, with variables of one segment, or of the rest of the path.

    template = "/" [ segment { "/" segment } ]
    segment  = text [ "{" name [ "=**" ] "}" text ]

A variable has one segment, or a part of it between literal text (`/v{version}`, `/users/{id}:cancel`). With `=**` it
has the rest of the path, slashes included, and must be last. Paths are compared as they arrive, without decoding: a
slash in the value of a variable arrives as `%2F`.

Source: `google.api.http` (googleapis, google/api/http.proto), without nested templates
"""

from __future__ import annotations

import re
from codecs import escape_decode
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

import msgspec

from idlrt.errors import ConfigurationError, RemoteProtocolError

__all__ = ["PathTemplate", "Segment", "parse_template", "unquoted"]

_SEGMENT: Final = re.compile(
    r"(?P<prefix>[^{}]*)\{(?P<name>[A-Za-z_][A-Za-z0-9_.]*)(?P<rest>=\*\*)?\}(?P<suffix>[^{}]*)"
)
# Characters of a path segment (RFC 3986, section 3.3).
_LITERAL: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*")
# Percent signs in text where one is not followed by two digits.
_MAX_LOOSE: Final = 100
_SAFE: Final = "!$&'()*+,;=:@"


class Segment(msgspec.Struct, frozen=True):
    """One segment of a template.

    Attributes:
        prefix: literal text in front of the variable; the whole segment if there is no variable.
        name: name of the variable; empty for none.
        suffix: literal text after the variable.
        is_rest: whether the variable has the rest of the path.
    """

    prefix: str
    name: str = ""
    suffix: str = ""
    is_rest: bool = False


class PathTemplate(msgspec.Struct, frozen=True):
    """A parsed template.

    Attributes:
        text: the template as written.
        segments: its segments.
    """

    text: str
    segments: tuple[Segment, ...]

    def __str__(self) -> str:
        return self.text

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables, in order."""
        return tuple(each.name for each in self.segments if each.name)

    @property
    def shape(self) -> tuple[tuple[str, str, int], ...]:
        """Template without the names of variables: two templates with the same shape match the same paths."""
        return tuple((each.prefix, each.suffix, _kind(each)) for each in self.segments)

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the path with the values of all variables, percent-encoded.

        Raises:
            KeyError: a variable has no value.
        """
        parts: list[str] = []
        for each in self.segments:
            if each.name:
                value = quote(values[each.name], safe=_SAFE + "/" if each.is_rest else _SAFE)
                parts.append(f"{each.prefix}{value}{each.suffix}")
            else:
                parts.append(each.prefix)
        return "/" + "/".join(parts)


def _kind(segment: Segment) -> int:
    return 2 if segment.is_rest else 1 if segment.name else 0


def parse_template(text: str) -> PathTemplate:
    """Parse a template.

    Raises:
        ConfigurationError: it is invalid.
    """
    if not text.startswith("/"):
        raise ConfigurationError(f"invalid path {text!r}: must start with '/'")
    segments: list[Segment] = []
    for part in text[1:].split("/"):
        if segments and segments[-1].is_rest:
            raise ConfigurationError(f"invalid path {text!r}: a variable with `=**` must be last")
        found = _SEGMENT.fullmatch(part)
        if found is None and _LITERAL.fullmatch(part):
            segments.append(Segment(part))
            continue
        if found is None or not _LITERAL.fullmatch(found["prefix"]) or not _LITERAL.fullmatch(found["suffix"]):
            raise ConfigurationError(f"invalid path {text!r}: segment {part!r} is neither text nor one `{{variable}}`")
        is_rest = found["rest"] is not None
        if is_rest and (found["prefix"] or found["suffix"]):
            raise ConfigurationError(f"invalid path {text!r}: a variable with `=**` must be a whole segment")
        if any(found["name"] == each.name for each in segments):
            raise ConfigurationError(f"invalid path {text!r}: variable {found['name']!r} occurs twice")
        segments.append(Segment(found["prefix"], found["name"], found["suffix"], is_rest))
    return PathTemplate(text, tuple(segments))


def _unquoted(raw: bytes, what: str) -> bytes:
    # `unquote_to_bytes` takes a microsecond for each `%`, and up to 70 times the memory of the text.
    try:
        return escape_decode(raw.replace(b"\\", rb"\x5c").replace(b"%", rb"\x"))[0]
    except ValueError:
        if raw.count(b"%") > _MAX_LOOSE:
            raise RemoteProtocolError(f"{what}: must be percent-encoded UTF-8") from None
        return unquote_to_bytes(raw)


def unquoted(raw: bytes, what: str) -> str:
    """Return the text of percent-encoded UTF-8.

    Args:
        what: what is decoded, for error messages.

    Raises:
        RemoteProtocolError: it is not valid UTF-8, contains NUL, or has many percent signs without two digits.
    """
    data = _unquoted(raw, what) if b"%" in raw else raw
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError(f"{what}: must be percent-encoded UTF-8") from None
    if "\0" in text:
        raise RemoteProtocolError(f"{what}: must not contain NUL")
    return text
