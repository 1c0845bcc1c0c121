"""For tests of programs that use idlrt: calls without a network, and time that passes when it is told to."""

from idlrt.testing.fake_driver import FakeDriver
from idlrt.testing.memory import connected

__all__ = ["FakeDriver", "connected"]
