"""Leases: places in use that free themselves, whatever interrupts the code that holds them.

A signal handler or a time limit may raise between any two byte codes: after a counter was increased and before the
`try` that would decrease it again, or inside the `finally` that does. A counter is wrong from then on, and a limit of
16 is dead after 16 such exceptions. So nothing is counted up and down here. A *lease* is an object that its holder
keeps in a local variable, and the number of places in use is the number of leases alive: the set holds weak references,
and the callback that drops one is the set's own `discard`. That is a C function: no byte code runs in it, so no signal
handler can raise there.

Holders still release early, with `del lease` in a `finally`: an exception that somebody keeps has a traceback, whose
frames have local variables. Reference counting is what remains when that `finally` is not reached.
"""

from __future__ import annotations

import threading
from weakref import ref

__all__ = ["Lease", "Leases"]


class Lease:
    """One place in use, as long as the object lives. Keep it in a local variable, and `del` it to free the place."""

    __slots__ = ("__weakref__",)


class Leases(set[ref[Lease]]):
    """The leases alive: `len(leases)` of them. Threads may share it."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def renew(self) -> None:
        """Forget all leases, in a child of the process: they are held by threads of the parent."""
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
            # Threads that compete for the last place count each other's leases. They look again one after the other, so
            # that one of them gets it. A lock of C is safe in `with`: no signal handler runs between its `__enter__`
            # and the block.
            with self._lock:
                if len(self) > limit:
                    self.discard(reference)
                    return None
        return lease
