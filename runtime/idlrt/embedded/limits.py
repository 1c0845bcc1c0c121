"""How much an embedded registry takes."""

from __future__ import annotations

import msgspec

from idlrt.errors import ConfigurationError

__all__ = ["Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much the registry takes. Sizes are bytes of instances as they travel and as they are stored.

    A registration over a limit is refused, and the error names the limit: who registers too much pays, not the clients
    that read the service.

    Attributes:
        instances: in all.
        services: in all. One that has no instances, settings or patches makes room for another one.
        sessions: in all.
        size: of all instances.
        service_instances: instances of one service, and patches of one service.
        service_size: of the instances of one service, and of its patches.
        session_instances: instances that one client registers.
        session_size: of the instances that one client registers.
        text: bytes of the names, tags and metadata of one instance, or of the settings of one service.
        answer: bytes of one answer that tells instances or names; what is longer comes in several.
        unused_service: seconds that the name of a service is listed after the last of its instances, settings and
            patches has gone.
        unused_patch: seconds that a patch is kept for an instance that is not there.
        protected_part: of all sessions with instances that may be silent when one ends; if more are, it is kept.
        protected_from: such sessions from which on that is looked at: of two, one may well die.
        protected_for: seconds that a silent session is kept so at most.

    Raises:
        ConfigurationError: one of them is negative.
    """

    instances: int = 1_000_000
    services: int = 100_000
    sessions: int = 1_000_000
    size: int = 1 << 30
    service_instances: int = 100_000
    service_size: int = 64 << 20
    session_instances: int = 100_000
    session_size: int = 32 << 20
    text: int = 65536
    answer: int = 1 << 20
    unused_service: float = 86_400.0
    unused_patch: float = 30 * 86_400.0
    protected_part: float = 0.5
    protected_from: int = 5
    protected_for: float = 900.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"Limits.{name} must not be negative, got {getattr(self, name)!r}")
