"""Whether this process is another one than the one that made something: after a fork sockets and threads are the
parent's.

Told by the system, not asked: `os.getpid` is a system call, and would be one for each call.

A lock that another thread holds when a process forks stays locked in the child for ever. So whoever has locks, or
counts what threads do, is renewed in the child before anything else goes on there.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["forks"]


class Renewed(Protocol):
    """What has to begin anew in a child."""

    def renew(self) -> None:
        """In the child: forget what belongs to the parent's threads. No other thread runs yet."""
        ...


class _Forks:
    """The forks behind this process."""

    __slots__ = ("_renewed", "count")

    def __init__(self) -> None:
        self.count = 0
        self._renewed: weakref.WeakSet[Renewed] = weakref.WeakSet()

    def renew(self, each: Renewed) -> None:
        """Have `each` renewed in children, as long as it is there."""
        self._renewed.add(each)

    def happened(self) -> None:
        """In the child."""
        self.count += 1
        for each in list(self._renewed):
            each.renew()


forks = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forks.happened)
