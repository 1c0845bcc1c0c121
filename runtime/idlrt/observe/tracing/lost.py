"""Marks of root spans that begin on threads: where the context of a call may have been lost.

Threads and executors begin with an empty context, so a call that is made there begins another trace. That is right for
work that no call has caused. On a thread of an executor, other code has submitted the work, so the root is marked.
"""

from __future__ import annotations

import concurrent.futures.thread as pools
import threading
from contextvars import ContextVar
from typing import Any, Final

from idlrt.observe.tracing.span import Span

__all__ = ["CARRIED", "LOST", "mark_thread"]

LOST: Final = "idlrt.context_lost"
"""Attribute of a root span on a thread of an executor: the work was submitted without its context."""

CARRIED: Final[ContextVar[bool]] = ContextVar("idlrt carried", default=False)
"""Whether the current context is that of the code that submitted the work (`carry`)."""

# What threads of executors run. Python has no public sign of them; without this one, their usual names decide.
_WORK: Final[Any] = getattr(pools, "_worker", None)
_NAMES: Final = ("ThreadPoolExecutor-", "asyncio_")


def mark_thread(root: Span) -> None:
    """Name the thread of a root span, unless it is the main thread; mark it if the context of a call may be lost."""
    thread = threading.current_thread()
    if thread is threading.main_thread():
        return
    root.set("thread.name", thread.name)
    is_pooled = _WORK is not None and getattr(thread, "_target", None) is _WORK
    if (is_pooled or thread.name.startswith(_NAMES)) and not CARRIED.get():
        root.set(LOST, True)
