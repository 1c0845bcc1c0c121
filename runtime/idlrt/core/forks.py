"""Fork detection: objects reset their state in the child of a fork, where sockets and threads belong to the parent.

It uses `os.register_at_fork`, because comparing `os.getpid` would cost a system call for each call.

A lock that another thread holds at the time of the fork stays locked in the child for ever. So each object that has
locks, or counts the work of threads, resets itself in the child before anything else runs there.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["forks"]


class ForkAware(Protocol):
    """An object that must reset itself in a child process."""

    def after_fork(self) -> None:
        """Discard state that belongs to the parent's threads. Runs in the child, before any other thread."""
        ...


class _Forks:
    """Number of forks between the original process and this one, and the objects to reset after a fork."""

    __slots__ = ("_registered", "count")

    def __init__(self) -> None:
        self.count = 0
        self._registered: weakref.WeakSet[ForkAware] = weakref.WeakSet()

    def register(self, each: ForkAware) -> None:
        """Register `each` (weakly) to be reset in child processes."""
        self._registered.add(each)

    def happened(self) -> None:
        """Reset all registered objects; called in the child."""
        self.count += 1
        for each in list(self._registered):
            each.after_fork()


forks = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forks.happened)
