"""For tests of programs that use idlrt: calls without a network, time that passes when it is told to, and what every
registry, every balancer, every router, every fault mode, every guard and every protocol has to do.

`idlrt.testing.strategies` has hypothesis strategies of generated classes; it is imported for itself, because it needs
the extra `testing`.
"""

from idlrt.testing.balancers import check_balancer
from idlrt.testing.fake_driver import FakeDriver
from idlrt.testing.fault_modes import check_fault_mode
from idlrt.testing.guards import check_guard
from idlrt.testing.memory import connected
from idlrt.testing.protocols import check_protocol
from idlrt.testing.registry import HEARTBEAT_CHECKS, REGISTRY_CHECKS, check_registry
from idlrt.testing.routers import check_router
from idlrt.testing.scripted_reach import ScriptedReach

__all__ = [
    "HEARTBEAT_CHECKS",
    "REGISTRY_CHECKS",
    "FakeDriver",
    "ScriptedReach",
    "check_balancer",
    "check_fault_mode",
    "check_guard",
    "check_protocol",
    "check_registry",
    "check_router",
    "connected",
]
