"""State of a supervised process of a `ProcessServer`."""

from __future__ import annotations

import socket

from idlrt.net import Address, listen
from idlrt.server.restarts import RestartDelay

__all__ = ["ProcessSlot", "add_slots"]


class ProcessSlot:
    """A supervised process, which is replaced when it exits.

    Args:
        listening: its listening socket.

    Attributes:
        listening: its listening socket, which all of its processes use in turn.
        pid: process id; 0 while none runs.
        started_at: time of the last start, on the clock of `time.monotonic`.
        start_at: earliest time of the next start, on the same clock.
        restarts: number of restarts.
        delay: delay of the next restart.
    """

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.pid = 0
        self.started_at = 0.0
        self.start_at = 0.0
        self.restarts = 0
        self.delay = RestartDelay()


def add_slots(slots: list[ProcessSlot], number: int, wanted: Address, backlog: int) -> Address:
    """Add slots that listen at an address, all at one socket if it is a Unix socket. Return the address with its port.

    Raises:
        OSError: the address is not available; the slots that were added have sockets.
    """
    is_unix = bool(wanted.path)
    while len(slots) < number:
        if slots and is_unix:
            slots.append(ProcessSlot(slots[0].listening))
            continue
        listening = listen(wanted, backlog=backlog, reuse_port=not is_unix)
        slots.append(ProcessSlot(listening))
        if not is_unix:
            wanted = Address(wanted.host, listening.getsockname()[1])
    return wanted
