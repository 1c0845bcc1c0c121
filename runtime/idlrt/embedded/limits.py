"""How much an embedded registry takes."""

from __future__ import annotations

import msgspec

__all__ = ["Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the registry takes.

    Attributes:
        instances: in all.
        services: likewise.
        sessions: likewise.
        text: bytes of the names, tags and metadata of one instance, or of the settings of one service.
        protected_part: of all sessions with instances that may be silent when one ends; if more are, it is kept.
        protected_from: such sessions from which on that is looked at: of two, one may well die.
        protected_for: seconds that a silent session is kept so at most.
    """

    instances: int = 1_000_000
    services: int = 100_000
    sessions: int = 1_000_000
    text: int = 65536
    protected_part: float = 0.5
    protected_from: int = 5
    protected_for: float = 900.0
