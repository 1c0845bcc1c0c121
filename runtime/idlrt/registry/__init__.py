"""Where servers tell that they are there, and clients learn it.

`Registry.connect(url)` is the way in; kinds of registry are plugins (`Backend`, entry points `idlrt.registries`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idlrt.registry.backend import REGISTRIES, Backend, Found, SessionLost, Update
from idlrt.registry.cache import SnapshotCache
from idlrt.registry.ownership import INSTANCE_TOKEN, AlreadyRegistered, check_replaceable, is_same_instance
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
    "Found",
    "Listener",
    "Registration",
    "RegistrationEvent",
    "RegistrationState",
    "Registry",
    "RegistryUrl",
    "SessionLost",
    "SnapshotCache",
    "Subscription",
    "Update",
    "check_replaceable",
    "is_same_instance",
    "shared_registries",
]


def __getattr__(name: str) -> Any:
    # Importing asyncio takes tens of milliseconds, which programs without a registry need not pay.
    if name == "Registry":
        from idlrt.registry.client import Registry

        return Registry
    if name == "Registration":
        from idlrt.registry.registration import Registration

        return Registration
    if name in ("RegistrationEvent", "RegistrationState"):
        from idlrt.registry import registrar

        return getattr(registrar, name)
    if name == "shared_registries":
        from idlrt.registry.shared import shared_registries

        return shared_registries
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
