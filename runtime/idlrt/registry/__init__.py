"""Where servers tell that they are there, and clients learn it.

`Registry.connect(url)` is the way in; kinds of registry are plugins (`Backend`, entry points `idlrt.registries`).
"""

from idlrt.registry.backend import REGISTRIES, Backend, Found, SessionLost, Update
from idlrt.registry.cache import SnapshotCache
from idlrt.registry.client import Registry
from idlrt.registry.registration import Registration
from idlrt.registry.shared import shared_registries
from idlrt.registry.subscription import Listener, Subscription
from idlrt.registry.url import RegistryUrl

__all__ = [
    "REGISTRIES",
    "Backend",
    "Found",
    "Listener",
    "Registration",
    "Registry",
    "RegistryUrl",
    "SessionLost",
    "SnapshotCache",
    "Subscription",
    "Update",
    "shared_registries",
]
