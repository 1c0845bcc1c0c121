"""Silences: time in which notifications of some alerts are held back. Their states change as ever.

Source: Alertmanager (https://prometheus.io/docs/alerting/latest/alertmanager/#silences)
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Self

import msgspec

from idlrt.collector.alerts.matchers import Matcher, all_match
from idlrt.errors import ConfigurationError

__all__ = ["KEPT_S", "MAX_SILENCES", "Silence", "silenced_by"]

KEPT_S: Final = 5 * 86400.0
"""Seconds for which silences are listed after their end."""

MAX_SILENCES: Final = 1000
"""Maximum number of silences."""

_MAX_S: Final = 366 * 86400.0
_LONGEST: Final = 1000
_MAX_MATCHERS: Final = 20


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A silence. Times are in seconds since 1970.

    Attributes:
        id: its identifier.
        matchers: conditions on the labels of alerts; all of them must match.
        starts_at: start.
        ends_at: end.
        author: who has made it.
        comment: why.
    """

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: float
    ends_at: float
    author: str
    comment: str

    @classmethod
    def make(cls, matchers: Sequence[str], starts_at: float, ends_at: float, author: str, comment: str) -> Self:
        """Check the parts of a silence, and return it with a new identifier.

        Raises:
            ConfigurationError: a part is invalid.
        """
        found = tuple(Matcher.parse(each) for each in matchers)
        if not 1 <= len(found) <= _MAX_MATCHERS:
            raise ConfigurationError(f"silence: needs 1 to {_MAX_MATCHERS} matchers, got {len(found)}")
        if all(each.matches({}) for each in found):
            raise ConfigurationError("silence: would match alerts without labels; add a matcher such as alertname=NAME")
        if not starts_at < ends_at <= starts_at + _MAX_S:
            raise ConfigurationError("silence: the end must be after the start, and at most 366 days later")
        for name, text in (("author", author), ("comment", comment)):
            if not text.strip() or len(text) > _LONGEST:
                raise ConfigurationError(f"silence: {name}: must have 1 to {_LONGEST} characters, got {len(text)}")
        return cls(
            id=secrets.token_hex(8),
            matchers=found,
            starts_at=starts_at,
            ends_at=ends_at,
            author=author.strip(),
            comment=comment.strip(),
        )

    def is_active(self, now: float) -> bool:
        """Whether it holds notifications back at a time."""
        return self.starts_at <= now < self.ends_at


def silenced_by(silences: Iterable[Silence], labels: Mapping[str, str], now: float) -> tuple[str, ...]:
    """Return the identifiers of the silences that hold back notifications of an alert."""
    return tuple(each.id for each in silences if each.is_active(now) and all_match(each.matchers, labels))
