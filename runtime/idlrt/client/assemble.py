"""The order of what stands between a caller and the wire, in one place.

From the caller to the wire: filters that the caller gave to `connect`, in their order, then the leaf.
Timeouts, breakers, routing, balancing and fault modes get their lines here, outermost first.
"""

from __future__ import annotations

from collections.abc import Sequence

from idlrt.core import Endpoint, Filter, stack

__all__ = ["assemble"]


def assemble(filters: Sequence[Filter], leaf: Endpoint) -> Endpoint:
    """What a client's call goes through."""
    order: list[Filter] = [
        *filters,
    ]
    return stack(order, leaf)
