"""Receiving: what the collector and agents share. Who may push, and packets that come as datagrams."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Sequence
from typing import Final, Protocol

from idlrt.collector.api import Packet
from idlrt.collector.packets import decode_datagram
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.net import Address
from idlrt.net.datagrams import DatagramReceiver
from idlrt.server import ServerFilter, allow_addresses

__all__ = ["DEFAULT_PORT", "DatagramReceivers", "Intake", "access_filters"]

_log: Final = get_logger("idlrt.collector")

DEFAULT_PORT: Final = 7410
"""Port of collectors and agents, for TCP and UDP."""

_POLL_S: Final = 0.5
# Datagrams that are read from a socket, at most, before it is closed.
_MAX_LEFT: Final = 10_000


class Intake(Protocol):
    """Takes packets. Called on several threads; must not block."""

    def put(self, packet: Packet, transport: str) -> None:
        """Take a packet that came by a transport: `udp` or `unix`."""
        ...

    def refused(self, transport: str) -> None:
        """Count a packet that cannot be read, or is not allowed."""
        ...


def access_filters(check_token: ServerFilter | None, allow: Sequence[str], *, udp: str) -> list[ServerFilter]:
    """Return the filters of the server for calls.

    Args:
        check_token: requires a token of callers; `None`: no token is needed.
        allow: addresses and networks that may call; none: all.
        udp: address for datagrams, if any.

    Raises:
        ConfigurationError: an argument is invalid, or datagrams would be taken from everybody though calls are not.
    """
    filters: list[ServerFilter] = [allow_addresses(*allow)] if allow else []
    if check_token is not None:
        filters.append(check_token)
        if udp and not allow:
            raise ConfigurationError("collector: datagrams carry no token; with tokens, udp needs allow")
    return filters


class DatagramReceivers:
    """Receives packets over UDP and a Unix socket, on a thread for each.

    Args:
        intake: takes the packets.
        udp: address for UDP; empty for none. Port 0 requests a free one.
        unix: path of a Unix socket; empty for none.
        allow: addresses and networks from which they may come; none: all.
    """

    def __init__(self, intake: Intake, *, udp: str, unix: str, allow: Sequence[str]) -> None:
        self._intake = intake
        self._wanted = [each for each in (udp, f"unix:{unix}" if unix else "") if each]
        self._networks = [ipaddress.ip_network(each) for each in allow if each != "unix"]
        self._receivers: list[DatagramReceiver] = []
        self._threads: list[threading.Thread] = []
        self._is_stopping = False

    @property
    def udp_address(self) -> str:
        """Address for UDP, `udp://host:port`, once it is open; empty for none."""
        found = [each.address for each in self._receivers if not each.address.path]
        return str(found[0]).replace("tcp://", "udp://") if found else ""

    def open(self) -> None:
        """Open the sockets.

        Raises:
            ConfigurationError: an address is not available; nothing is open.
        """
        try:
            for each in self._wanted:
                self._receivers.append(DatagramReceiver(Address.parse(each)))
        except ConfigurationError:
            self._close_sockets()
            raise

    def start(self) -> None:
        """Begin to receive."""
        for each in self._receivers:
            thread = threading.Thread(target=self._receive, args=(each,), name="idlrt datagrams", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _receive(self, receiver: DatagramReceiver) -> None:
        transport = "unix" if receiver.address.path else "udp"
        while not self._is_stopping:
            found = receiver.receive(_POLL_S)
            if found is not None:
                self._take(*found, transport)
        # What programs have sent before they ended, the last snapshot of each.
        for _ in range(_MAX_LEFT):
            found = receiver.receive(0.0)
            if found is None:
                break
            self._take(*found, transport)

    def _take(self, data: bytes, peer: str, transport: str) -> None:
        try:
            packet = decode_datagram(data) if self._is_allowed(peer) else None
        except Exception as error:  # noqa: BLE001  # whatever arrives must not end the thread
            packet = None
            _log.warning("refusing a datagram from %s: %s", peer or transport, error, extra={"peer": peer})
        if packet is None:
            self._intake.refused(transport)
        else:
            self._intake.put(packet, transport)

    def _is_allowed(self, peer: str) -> bool:
        if not self._networks or not peer:
            return True
        address = ipaddress.ip_address(peer.rpartition(":")[0].strip("[]").partition("%")[0])
        return any(address in each for each in self._networks if each.version == address.version)

    def close(self) -> None:
        """Stop, and close the sockets. Idempotent."""
        self._is_stopping = True
        for each in self._threads:
            each.join()
        self._threads.clear()
        self._close_sockets()

    def _close_sockets(self) -> None:
        for each in self._receivers:
            each.close()
