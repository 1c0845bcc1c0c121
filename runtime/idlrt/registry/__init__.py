"""Service registry: servers register instances, clients discover them.

Start with `Registry.connect(url)`. Each kind of registry is a plugin (`Backend`, entry points `idlrt.registries`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from idlrt.exports import lazy_exports
from idlrt.registry.backend import REGISTRIES, Backend, ServiceData, SessionLost, Update
from idlrt.registry.cache import SnapshotCache
from idlrt.registry.id_conflicts import INSTANCE_TOKEN, AlreadyRegistered, check_replaceable, is_same_instance
from idlrt.registry.subscription import Listener, Subscription
from idlrt.registry.url import RegistryUrl

if TYPE_CHECKING:
    from idlrt.registry.client import Registry
    from idlrt.registry.registrar import RegistrationEvent, RegistrationState
    from idlrt.registry.registration import Registration
    from idlrt.registry.shared import shared_registries

__all__ = [
    "INSTANCE_TOKEN",
    "REGISTRIES",
    "AlreadyRegistered",
    "Backend",
    "Listener",
    "Registration",
    "RegistrationEvent",
    "RegistrationState",
    "Registry",
    "RegistryUrl",
    "ServiceData",
    "SessionLost",
    "SnapshotCache",
    "Subscription",
    "Update",
    "check_replaceable",
    "is_same_instance",
    "shared_registries",
]


if not TYPE_CHECKING:
    # Importing asyncio takes tens of milliseconds, which programs without a registry should not pay.
    __getattr__ = lazy_exports(
        __name__,
        {
            ".client": ("Registry",),
            ".registrar": ("RegistrationEvent", "RegistrationState"),
            ".registration": ("Registration",),
            ".shared": ("shared_registries",),
        },
    )
