"""Test support for programs that use idlrt: calls without a network, a driver in virtual time, and conformance suites
for plugins (registries, balancers, routers, fault modes, guards and protocols).

`idlrt.testing.strategies` has hypothesis strategies of generated classes. Import it explicitly: it requires the extra
`testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from idlrt.exports import deprecated_names
from idlrt.testing.balancers import check_balancer
from idlrt.testing.fake_driver import FakeDriver
from idlrt.testing.fault_modes import check_fault_mode
from idlrt.testing.guards import check_guard
from idlrt.testing.memory import connected
from idlrt.testing.protocols import check_protocol
from idlrt.testing.registry import HEARTBEAT_CHECKS, REGISTRY_CHECKS, check_registry
from idlrt.testing.routers import check_router
from idlrt.testing.scripted_dispatcher import ScriptedDispatcher

__all__ = [
    "HEARTBEAT_CHECKS",
    "REGISTRY_CHECKS",
    "FakeDriver",
    "ScriptedDispatcher",
    "check_balancer",
    "check_fault_mode",
    "check_guard",
    "check_protocol",
    "check_registry",
    "check_router",
    "connected",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__)
