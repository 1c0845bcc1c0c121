"""Whether this process is another one than the one that made something: after a fork sockets and threads are the
parent's.

Told by the system, not asked: `os.getpid` is a system call, and would be one for each call.
"""

from __future__ import annotations

import os

__all__ = ["forks"]


class _Forks:
    """The forks behind this process."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def happened(self) -> None:
        """In the child."""
        self.count += 1


forks = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forks.happened)
