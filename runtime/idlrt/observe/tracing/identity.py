"""Name of this instance in traces, for the systems that tell instances of a service apart."""

from __future__ import annotations

import os
import platform
from typing import Final

from idlrt.core.forks import forks

__all__ = ["instance_name"]

# SkyWalking's header takes 50 characters.
_MAX_HOST: Final = 39


class _Instance:
    """Cached name."""

    def __init__(self) -> None:
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Look the name up again in a forked child."""
        self.name = ""


_INSTANCE: Final = _Instance()


def instance_name() -> str:
    """Return the name of this instance: `pid@host`."""
    found = _INSTANCE.name
    if not found:
        host = platform.node()[:_MAX_HOST] or "localhost"
        found = _INSTANCE.name = f"{os.getpid()}@{host}"
    return found
