"""For tests of programs that use idlrt: calls without a network, time that passes when it is told to, and what every
registry, every balancer, every router and every guard has to do.

`idlrt.testing.strategies` has hypothesis strategies of generated classes; it is imported for itself, because it needs
the extra `testing`.
"""

from idlrt.testing.balancers import check_balancer
from idlrt.testing.fake_driver import FakeDriver
from idlrt.testing.guards import check_guard
from idlrt.testing.memory import connected
from idlrt.testing.registry import REGISTRY_CHECKS, check_registry
from idlrt.testing.routers import check_router

__all__ = [
    "REGISTRY_CHECKS",
    "FakeDriver",
    "check_balancer",
    "check_guard",
    "check_registry",
    "check_router",
    "connected",
]
