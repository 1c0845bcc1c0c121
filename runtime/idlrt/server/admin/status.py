"""The status of a server as data, and as text."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from idlrt.core import Handlers
from idlrt.printable import mask_passwords
from idlrt.registry import Registration
from idlrt.server.admin.configuration import configuration_of
from idlrt.server.admin.view import ServerView
from idlrt.version import __version__

__all__ = ["status_of", "status_text"]


def status_of(view: ServerView) -> dict[str, Any]:
    """Return the status of a server, as JSON has it."""
    started_at = view.started_at()
    registrar = view.registrar
    found: dict[str, Any] = {
        "services": {each.service.name: _methods(each) for each in view.served.services},
        "state": "draining" if view.is_stopping() else "serving" if started_at else "starting",
        "address": view.address(),
        "protocols": [each.name for each in view.protocols],
        "tls": view.settings.tls is not None,
        "kind": view.kind,
        "version": __version__,
        "python": platform.python_version(),
        "pid": os.getpid(),
        "started_at": datetime.fromtimestamp(started_at, UTC).isoformat(timespec="seconds") if started_at else None,
        "uptime_s": round(max(time.time() - started_at, 0.0), 3) if started_at else 0,
        **view.numbers(),
        **view.details(),
    }
    if registrar is not None:
        registry = registrar.registry
        error = registry.last_error if registry is not None else None
        found["registry"] = {
            "url": str(registrar),
            "is_connected": registry is not None and registry.is_connected,
            "error": None if error is None else mask_passwords(str(error)),
        }
        found["registrations"] = [_registration(each) for each in registrar.registrations]
    found["configuration"] = configuration_of(view.settings)
    return found


def _methods(handlers: Handlers) -> list[str]:
    return sorted(handlers.table)


def _registration(registration: Registration) -> dict[str, Any]:
    instance, error = registration.instance, registration.error
    return {
        "service": instance.service,
        "group": instance.group,
        "id": instance.id,
        "address": f"{instance.host}:{instance.port}",
        "status": str(instance.status),
        "state": str(registration.state),
        "error": None if error is None else mask_passwords(str(error)),
    }


def status_text(status: Mapping[str, Any]) -> str:
    """Return the status as text: a line `name: value` for each value, names of nested ones joined by dots."""
    return "\n".join(f"{name}: {value}" for name, value in _flat("", status))


def _flat(prefix: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value)
        if not pairs:
            return [(prefix, "none")]
        return [line for name, each in pairs.items() for line in _flat(f"{prefix}.{name}" if prefix else name, each)]
    if isinstance(value, list):
        parts = cast("list[object]", value)
        if any(isinstance(each, Mapping) for each in parts):
            return [line for number, each in enumerate(parts) for line in _flat(f"{prefix}.{number}", each)]
        return [(prefix, ", ".join(value_text(each) for each in parts) or "none")]
    return [(prefix, value_text(value))]


def value_text(value: object) -> str:
    """Return a simple value as text on one line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split())
