"""For tests of programs that use idlrt: calls without a network, and time that passes when it is told to.

`idlrt.testing.strategies` has hypothesis strategies of generated classes; it is imported for itself, because it needs
the extra `testing`.
"""

from idlrt.testing.fake_driver import FakeDriver
from idlrt.testing.memory import connected

__all__ = ["FakeDriver", "connected"]
