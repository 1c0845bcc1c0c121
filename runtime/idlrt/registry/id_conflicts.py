"""Ownership of instance ids: when a session may replace the registration of another one.

An id belongs to the session that has registered it for as long as that session lives. Other sessions are refused,
unless they register the same instance: a server that was restarted before its old session ended replaces the
registration that the old process left behind. Instances are the same if they have the same address, or the same
`instance_token` in their metadata (for servers whose address changes with each start).

The replaced session may still be alive (two processes that advertise one address). It learns of the replacement with
its next heartbeat, does not reclaim the id, and waits until the id is free; otherwise the two would replace each other
forever. No decision depends on a clock.
"""

from __future__ import annotations

from typing import Final

from idlrt.core import Instance
from idlrt.errors import RegistryRefused

__all__ = ["INSTANCE_TOKEN", "AlreadyRegistered", "check_replaceable", "id_in_use", "is_same_instance"]

INSTANCE_TOKEN: Final = "instance_token"


class AlreadyRegistered(RegistryRefused):
    """Another live session has registered an instance under this id. Registration succeeds once the id is free."""


def is_same_instance(one: Instance, other: Instance) -> bool:
    """Whether two registrations are of one instance, possibly before and after a restart."""
    token = one.metadata.get(INSTANCE_TOKEN)
    return (one.host, one.port) == (other.host, other.port) or (
        bool(token) and token == other.metadata.get(INSTANCE_TOKEN)
    )


def id_in_use(instance: Instance, holder: Instance | None, who: str = "") -> AlreadyRegistered:
    """Build the error for an `instance` whose id `holder` has registered.

    Args:
        holder: `None` if its registration cannot be decoded.
        who: the program that has registered it, if known.
    """
    what = f"id {instance.id!r} of {instance.key} is in use by {who or 'another process'}"
    if holder is None:
        return AlreadyRegistered(f"{what}, whose registration cannot be decoded; stop it, or choose another id")
    if is_same_instance(instance, holder):
        return AlreadyRegistered(f"{what} with the same address or instance_token; stop one of the two")
    return AlreadyRegistered(f"{what} at {holder.address}; stop that instance, or choose another id")


def check_replaceable(instance: Instance, holder: Instance | None, *, is_live: bool, reclaims: bool) -> None:
    """Check that `instance` may replace the registration under its id. Called by backends; a session may always replace
    its own registrations.

    Args:
        holder: the registered instance; `None` if its registration cannot be decoded.
        is_live: whether the registration belongs to a session; it does not if it was written by hand.
        reclaims: whether `instance` was registered before and is missing now (see `Backend.reclaim`).

    Raises:
        AlreadyRegistered: it may not.
    """
    is_same = holder is not None and is_same_instance(instance, holder)
    if is_live:
        may = is_same and not reclaims
    else:
        may = is_same or holder is None
    if not may:
        raise id_in_use(instance, holder)
