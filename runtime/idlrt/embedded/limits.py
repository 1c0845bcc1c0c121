"""Resource limits of the embedded registry."""

from __future__ import annotations

import msgspec

from idlrt.errors import ConfigurationError

__all__ = ["Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Resource limits of the registry. Sizes are bytes of encoded instances, as sent and as stored.

    A registration that exceeds a limit is refused, and the error names the limit: the limit affects the client that
    registers too much, not the clients that read the service.

    Attributes:
        instances: total number of instances.
        services: total number of services. A new one replaces one without instances, settings and patches.
        sessions: total number of sessions.
        size: total size of all instances.
        service_instances: number of instances of a service, and of its patches.
        service_size: size of the instances of a service, and of its patches.
        session_instances: number of instances that one client registers.
        session_size: size of the instances that one client registers.
        text: bytes of the names, tags and metadata of one instance, or of the settings of one service.
        answer: bytes of one response with instances or names; longer ones are split into parts.
        unused_service: seconds for which a service is listed after its last instance, setting or patch was removed.
        unused_patch: seconds for which the patch of an unregistered instance is kept.
        protected_part: ratio of silent sessions, among those with instances, above which none is ended
            (self-preservation).
        protected_from: minimum number of sessions with instances for self-preservation: of two, one may well crash.
        protected_for: maximum time in seconds for which self-preservation keeps a silent session.

    Raises:
        ConfigurationError: a limit is negative.
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
