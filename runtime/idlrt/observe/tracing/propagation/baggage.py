"""W3C `baggage`, and the business tags in it.

Values are percent-encoded UTF-8. A space is `%20` and a plus `%2B`, so that readers of both kinds agree: those that
follow the specification, and opentelemetry-python, which decodes forms (`+` is a space). It writes a space as `+`,
which this reads as a plus, as the specification says. Properties (`;key=value`) are not kept.

Business tags are members of baggage like any other, so that every service can read them. One more member, `rpc_tags`,
lists their names separated by slashes: tags are recorded with spans, other baggage is not.

Sources: https://www.w3.org/TR/baggage/; https://github.com/open-telemetry/opentelemetry-python/issues/5566
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from idlrt.observe.tracing.context import NO_TEXTS

__all__ = [
    "BAGGAGE",
    "MAX_BAGGAGE",
    "MAX_BAGGAGE_MEMBERS",
    "TAG_NAMES",
    "Baggage",
    "bounded",
    "decoded",
    "encoded",
    "format_baggage",
    "parse_baggage",
]

BAGGAGE: Final = "baggage"

TAG_NAMES: Final = "rpc_tags"
"""Member that lists the names of business tags. Baggage of this name is not sent."""

MAX_BAGGAGE_MEMBERS: Final = 64
"""Maximum number of members, without the list of tags."""

MAX_BAGGAGE: Final = 8192
"""Maximum size of the header, in bytes."""

# Characters of a token (RFC 9110), without `%` and `+`.
_KEY: Final = "!#$&'*-.^_`|~"
# Characters of a value (`baggage-octet`), without `%` and `+`.
_VALUE: Final = "!#$&'()*-./:<=>?@[]^_`{|}~"
_BETWEEN_TAGS: Final = "/"
_WHITE: Final = " \t"
_VISIBLE: Final = re.compile(r"[!-~]*")
# No white space, no properties.
_COMPACT: Final = re.compile(r"[!-:<-~]+")
# Nothing to encode.
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9_.~-]*", re.ASCII)


class Baggage(msgspec.Struct, frozen=True):
    """Members of a header.

    Attributes:
        members: all members, by name.
        tags: business tags; they are members, too.
        dropped: number of members beyond the limits.
        is_malformed: whether a member was invalid; it is left out.
    """

    members: Mapping[str, str] = NO_TEXTS
    tags: Mapping[str, str] = NO_TEXTS
    dropped: int = 0
    is_malformed: bool = False


def encoded(text: str) -> str:
    """Return a value percent-encoded. Surrogates become `?`."""
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe=_VALUE, encoding="utf-8", errors="replace")


def decoded(text: str) -> str:
    """Return a percent-encoded value. Invalid UTF-8 becomes U+FFFD."""
    return unquote(text) if "%" in text else text


def parse_baggage(text: str) -> Baggage:
    """Return the members of a header. Of members of the same name the last one counts."""
    dropped = 0
    if len(text) > MAX_BAGGAGE:
        # Never half a member.
        end = text.rfind(",", 0, MAX_BAGGAGE + 1)
        dropped = text.count(",", max(end, 0)) + (end < 0)
        text = text[: max(end, 0)]
    members: dict[str, str] = {}
    names = ""
    is_malformed = False
    is_compact = _COMPACT.fullmatch(text) is not None
    for member in text.split(","):
        if is_compact:
            name, equals, value = member.partition("=")
        else:
            stripped = member.strip(_WHITE)
            if not stripped:
                continue
            name, equals, value = stripped.partition(";")[0].partition("=")
            name, value = name.strip(_WHITE), value.strip(_WHITE)
        if not equals or not name or not (is_compact or (_VISIBLE.fullmatch(name) and _VISIBLE.fullmatch(value))):
            is_malformed = True
            continue
        name = decoded(name)
        if name == TAG_NAMES:
            names = decoded(value)
        elif len(members) < MAX_BAGGAGE_MEMBERS or name in members:
            members[name] = decoded(value)
        else:
            dropped += 1
    if not names or not members:
        return Baggage(members or NO_TEXTS, NO_TEXTS, dropped, is_malformed)
    tags = {name: members[name] for each in names.split(_BETWEEN_TAGS) if (name := decoded(each)) in members}
    return Baggage(members, tags or NO_TEXTS, dropped, is_malformed)


def format_baggage(baggage: Mapping[str, str], tags: Mapping[str, str] = NO_TEXTS) -> tuple[str, int]:
    """Return the header, empty without members, and the number of members that exceed the limits.

    Args:
        baggage: baggage.
        tags: business tags; kept first, and instead of baggage of the same names.
    """
    written: list[str] = []
    names: list[str] = []
    size = dropped = 0
    reserved = len(TAG_NAMES) + 2 if tags else 0
    for is_tag, pairs in ((True, tags), (False, baggage)):
        for key, value in pairs.items():
            if not key or key == TAG_NAMES or (not is_tag and key in tags):
                continue
            name = key if _UNRESERVED.fullmatch(key) else quote(key, safe=_KEY, encoding="utf-8", errors="replace")
            member = f"{name}={encoded(value)}"
            # The name in the list of tags is encoded once more.
            listed = name.replace("%", "%25") if is_tag else ""
            needed = len(member) + 1 + (len(listed) + 1 if is_tag else 0)
            if len(written) == MAX_BAGGAGE_MEMBERS or size + reserved + needed > MAX_BAGGAGE:
                dropped += 1
                continue
            size += needed
            written.append(member)
            if is_tag:
                names.append(listed)
    if names:
        written.append(f"{TAG_NAMES}={_BETWEEN_TAGS.join(names)}")
    return ",".join(written), dropped


def bounded(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], int]:
    """Return pairs within the limits of baggage, and the number of further ones; the last value of a name counts."""
    found: dict[str, str] = {}
    size = dropped = 0
    for name, value in pairs:
        needed = len(name) + len(value) + 2
        if size + needed > MAX_BAGGAGE or (len(found) == MAX_BAGGAGE_MEMBERS and name not in found):
            dropped += 1
            continue
        size += needed
        found[name] = value
    return found, dropped
