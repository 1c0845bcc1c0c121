"""Who may register an id that another session has registered.

An id belongs to the session that has registered it as long as that session lives. Another one is refused, unless it is
the same instance: a server that was restarted before its old session ended, and replaces what that has left behind.
The same instance is who has the same address, or the same `instance_token` in its metadata, for servers that are given
another address with each start.

The session that was replaced may be alive (two processes that both say that they are reached at one address). So it is
told with its next heartbeat, does not take the id back, and waits until it is free: else both would replace each other
for ever. No clock decides anything.
"""

from __future__ import annotations

from typing import Final

from idlrt.core import Instance
from idlrt.errors import RegistryRefused

__all__ = ["INSTANCE_TOKEN", "AlreadyRegistered", "already_registered", "check_replaceable", "is_same_instance"]

INSTANCE_TOKEN: Final = "instance_token"


class AlreadyRegistered(RegistryRefused):
    """Another live session has registered an instance under this id. It can be registered when that one has gone."""


def is_same_instance(one: Instance, other: Instance) -> bool:
    """Whether both describe one instance, maybe before and after a restart."""
    token = one.metadata.get(INSTANCE_TOKEN)
    return (one.host, one.port) == (other.host, other.port) or (
        bool(token) and token == other.metadata.get(INSTANCE_TOKEN)
    )


def already_registered(instance: Instance, holder: Instance | None, who: str = "") -> AlreadyRegistered:
    """The error for `instance`, whose id `holder` has.

    Args:
        holder: `None` if it cannot be read.
        who: the program that has registered it, if that is known.
    """
    what = f"{instance.id} of {instance.key}"
    by = f" by {who}" if who else " by another process"
    if holder is None:
        return AlreadyRegistered(f"{what} is registered{by}, in a form that cannot be read")
    if is_same_instance(instance, holder):
        return AlreadyRegistered(f"{what} is registered{by} now, at the same address or with the same instance token")
    return AlreadyRegistered(
        f"{what} is registered{by} at {holder.address}; stop that instance, or give this one another id"
    )


def check_replaceable(instance: Instance, holder: Instance | None, *, is_live: bool, reclaims: bool) -> None:
    """See that what stands under the id of `instance` may be replaced by it. For backends; what this session has
    written itself need not be checked.

    Args:
        holder: what stands there; `None` if it cannot be read.
        is_live: whether a session keeps it there. What was left by hand has none.
        reclaims: whether `instance` was registered before and is not there any more (see `Backend.reclaim`).

    Raises:
        AlreadyRegistered: it must not be replaced.
    """
    is_same = holder is not None and is_same_instance(instance, holder)
    if is_live:
        may = is_same and not reclaims
    else:
        may = is_same or holder is None
    if not may:
        raise already_registered(instance, holder)
