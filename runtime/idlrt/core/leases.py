"""Leases: permits that release themselves, whatever exception interrupts the code that holds them.

A signal handler or a time limit may raise between any two bytecodes: after a counter was incremented and before the
`try` that would decrement it, or inside the `finally` that does. The counter is wrong from then on, and a limit of 16
is exhausted after 16 of these exceptions. So there is no counter here. A *lease* is an object that its holder keeps in
a local variable, and the number of permits in use is the number of leases alive: the set holds weak references, and the
callback that removes one is the set's own `discard`. That is a C function: it executes no bytecode, so no signal
handler can raise in it.

Holders still release early, with `del lease` in a `finally`: a stored exception has a traceback, whose frames keep
local variables alive. Reference counting is the safety net for when the `finally` is not reached.
"""

from __future__ import annotations

import threading
from weakref import ref

__all__ = ["Lease", "Leases"]


class Lease:
    """A permit, in use while the object is alive. Keep it in a local variable; `del` it to release the permit."""

    __slots__ = ("__weakref__",)


class Leases(set[ref[Lease]]):
    """The set of live leases; `len(leases)` is the number of permits in use. Threads may share it."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """Drop all leases after a fork: threads of the parent hold them."""
        self._lock = threading.Lock()
        self.clear()

    def begin(self) -> Lease:
        """Return a new lease."""
        lease = Lease()
        self.add(ref(lease, self.discard))
        return lease

    def acquire(self, limit: int) -> Lease | None:
        """Return a new lease, or `None` if `limit` leases are alive."""
        lease = Lease()
        reference = ref(lease, self.discard)
        self.add(reference)
        if len(self) > limit:
            # Threads that compete for the last permit count each other's leases. They check again one after the other,
            # so that one of them gets it. A lock implemented in C is safe in `with`: no signal handler runs between its
            # `__enter__` and the block.
            with self._lock:
                if len(self) > limit:
                    self.discard(reference)
                    return None
        return lease
