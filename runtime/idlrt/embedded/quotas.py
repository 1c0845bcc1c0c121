"""Enforcement of `Limits` in the embedded registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from idlrt.core import ServiceKey
from idlrt.embedded.api import Refused
from idlrt.embedded.limits import Limits
from idlrt.embedded.service import Service, Usage
from idlrt.printable import plural

__all__ = ["check_correction", "check_record", "check_text"]


def check_record(
    limits: Limits, all: Usage, service: Service | None, own: Usage, key: ServiceKey, id: str, size: int, session: int
) -> None:
    """Check that an instance may be written. A record that it replaces does not count.

    Args:
        all: usage of all services.
        own: usage of the session that registers the instance.
        size: bytes of its record.

    Raises:
        Refused: a limit would be exceeded; the message names it.
    """
    known = service.entry(id) if service is not None else None
    new, more = int(known is None), size - (known.size if known is not None else 0)
    new_own, more_own = (new, more) if known is None or known.owner == session else (1, size)
    in_service = service.usage if service is not None else Usage()
    for owner, used, added, name in (
        ("the registry", all.count, new, "instances"),
        (f"service {key}", in_service.count, new, "service_instances"),
        ("this client", own.count, new_own, "session_instances"),
    ):
        if added > 0 and used >= getattr(limits, name):
            raise Refused(
                message=f"cannot register {id} of {key}: {owner} has {plural(used, 'instance')}; the limit is "
                f"{getattr(limits, name)} ({name})"
            )
    for owner, used, added, name in (
        ("the registry", all.size, more, "size"),
        (f"service {key}", in_service.size, more, "service_size"),
        ("this client", own.size, more_own, "session_size"),
    ):
        if added > 0 and used + added > getattr(limits, name):
            raise Refused(
                message=f"cannot register {id} of {key}: it takes {plural(size, 'byte')}, and {owner} already uses "
                f"{used}; the limit is {getattr(limits, name)} ({name}); register less metadata"
            )


def check_correction(limits: Limits, service: Service | None, key: ServiceKey, id: str, size: int) -> None:
    """Check that a patch may be written.

    Raises:
        Refused: the service has too many patches, or their total size is too large.
    """
    if service is None:
        return
    known = service.correction_size(id)
    if known is None and service.patch_usage.count >= limits.service_instances:
        raise Refused(
            message=f"cannot patch {id} of {key}: the service has "
            f"{plural(service.patch_usage.count, 'patch', 'patches')}; the limit is {limits.service_instances} "
            "(service_instances)"
        )
    if service.patch_usage.size + size - (known or 0) > limits.service_size:
        raise Refused(
            message=f"cannot patch {id} of {key}: it takes {plural(size, 'byte')}, and the service's patches already "
            f"use {service.patch_usage.size}; the limit is {limits.service_size} (service_size)"
        )


def check_text(limits: Limits, texts: Iterable[str | None], maps: Iterable[Mapping[str, str] | None]) -> None:
    """Check the total size of texts.

    Raises:
        Refused: it exceeds the limit.
    """
    size = sum(_bytes(each) for each in texts if each)
    size += sum(_bytes(name) + _bytes(value) for each in maps if each for name, value in each.items())
    if size > limits.text:
        raise Refused(message=f"too much text: {plural(size, 'byte')}; the limit is {limits.text} (text)")


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
