"""State of one server, shared by all connections of a client: its protocol, and whether it has ever responded.

Metadata is handled here because it depends on the protocol. *Explicit* metadata (everything that `using(metadata=...)`
or a filter sets, such as credentials or a tenant) is never dropped: if the protocol cannot carry it, the call is
rejected before anything is sent. *Ambient* values (the deadline, the attempt, the routing tag, the caller, and
`idlrt.core.AMBIENT`) are best effort: dropped where the protocol cannot carry them, and counted.
"""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from typing import Final

from idlrt.client.ping import PING_TIMEOUT
from idlrt.client.stats import PoolStats
from idlrt.core import AMBIENT, NO_CONTEXT, NO_METADATA, Call, Metadata, RequestContext
from idlrt.core.forks import forks
from idlrt.core.leases import Lease, Leases
from idlrt.errors import ConfigurationError
from idlrt.protocol import Capabilities, ClientProtocol

__all__ = ["PROBE_PAUSE", "PeerState", "has_explicit_metadata", "metadata_refused"]

PROBE_PAUSE: Final = 0.01
"""Seconds between checks whether another thread or event loop has detected the protocol."""

# Names of dropped typed values in statistics.
ATTEMPT, CALLER, DEADLINE, TAG, TRACE = "attempt", "caller", "deadline", "tag", "trace"


class PeerState:
    """State of one server. Threads may share it.

    Args:
        protocol: of the server.
        others: further candidates; with them the protocol is detected (`idlrt.client.protocol_probe`).
        is_encrypted: whether connections use TLS.
        probe_timeout: timeout of the detection, for each candidate, in seconds.

    Attributes:
        protocol: of the server; `None` until it is detected.
        protocols: all candidates.
        has_answered: whether the server has ever responded to a call or a ping.
        left_out: how often each ambient value was dropped, by name.
    """

    __slots__ = (
        "__weakref__", "_probes", "has_answered", "is_encrypted", "left_out", "probe_timeout", "protocol", "protocols"
    )  # fmt: skip

    def __init__(
        self,
        protocol: ClientProtocol,
        *others: ClientProtocol,
        is_encrypted: bool = False,
        probe_timeout: float = PING_TIMEOUT,
    ) -> None:
        self.protocols: Final = (protocol, *others)
        self.protocol: ClientProtocol | None = None if others else protocol
        self.is_encrypted: Final = is_encrypted
        self.probe_timeout: Final = probe_timeout
        self.has_answered = False
        # `counts[name] += 1` on a `defaultdict` is one step for other threads: no Python code runs within.
        self.left_out: Final[defaultdict[str, int]] = defaultdict(int)
        self.after_fork()
        if others:
            forks.register(self)

    def after_fork(self) -> None:
        """Forget the threads of the parent, in a child of the process."""
        self._probes = Leases()

    @contextlib.contextmanager
    def probing(self, until: float) -> Generator[None]:
        """Let one thread at a time detect the protocol.

        Args:
            until: deadline, on the clock of `time.monotonic`.

        Raises:
            TimeoutError: another thread was still detecting it at the deadline.
        """
        while (lease := self.begin_probing()) is None:
            if time.monotonic() >= until:
                raise TimeoutError
            time.sleep(PROBE_PAUSE)
        try:
            yield
        finally:
            del lease

    def begin_probing(self) -> Lease | None:
        """Return a lease for detecting the protocol, valid while it is referenced; `None` if another one exists."""
        return self._probes.acquire(1)

    def reconsider(self) -> None:
        """Detect the protocol again, because a new connection was closed before its first response."""
        if len(self.protocols) > 1:
            self.protocol = None

    @property
    def carries_metadata(self) -> bool:
        """Whether the protocol carries metadata; `True` until it is detected."""
        return self.protocol is None or self.protocol.capabilities.metadata

    @property
    def max_in_flight(self) -> int:
        """Maximum number of requests in flight on one connection."""
        return min(each.capabilities.max_in_flight for each in self.protocols)

    def hints(self) -> str:
        """Return advice for a server that closes connections or does not respond, and has never responded before."""
        hints: list[str] = []
        if len(self.protocols) == 1 and (advice := self.protocols[0].advice()):
            hints.append(advice)
        if not self.is_encrypted:
            hints.append("if it requires TLS, connect with tls=Tls(...)")
        return "; ".join((*hints, "otherwise it may have processed the call"))

    def check_metadata(self, call: Call) -> None:
        """Check that the protocol can carry the explicit metadata of `call`. Passes until the protocol is detected.

        Raises:
            ConfigurationError: it cannot; nothing has been sent.
        """
        if call.metadata and self.protocol is not None:
            self._check(call, self.protocol.capabilities)

    def _check(self, call: Call, able: Capabilities) -> None:
        if not able.metadata and has_explicit_metadata(call):
            protocol = self.protocol or self.protocols[0]
            why = protocol.metadata_advice() or f"{protocol.name} does not support metadata; do not set any"
            if len(self.protocols) > 1:
                why = f"the detected protocol is {protocol.name}: {why}"
            raise metadata_refused(call, why)

    def metadata_of(self, call: Call, able: Capabilities) -> tuple[Metadata, RequestContext]:
        """Return what is sent with `call`: its metadata and its typed values.

        Args:
            able: the capabilities of the connection.

        Raises:
            ConfigurationError: as `check_metadata`.
        """
        metadata = call.metadata if call.trace is None else self._with_trace(call, able)
        if able.metadata and able.context:
            # `Deadline.remaining`, inlined for speed.
            timeout = call.deadline.at - call.driver.now()
            return metadata, RequestContext(timeout, call.attempt, call.tag, call.caller)
        context = NO_CONTEXT
        if able.context:
            context = RequestContext(call.deadline.remaining(call.driver.now()), call.attempt, call.tag, call.caller)
        else:
            self.left_out[DEADLINE] += 1
            if call.attempt or call.tag or call.caller:
                self._count([name for name in (ATTEMPT, TAG, CALLER) if getattr(call, name)])
        if able.metadata or not metadata:
            return metadata, context
        self._check(call, able)
        self._count(call.metadata)
        return NO_METADATA, context

    def _with_trace(self, call: Call, able: Capabilities) -> Metadata:
        if not able.metadata:
            self.left_out[TRACE] += 1
            return call.metadata
        headers: dict[str, str] = call.trace.headers(call.method.full_name, call.target.removeprefix("tcp://"))
        # What the program sets itself takes precedence.
        return {**headers, **call.metadata}

    def _count(self, names: Iterable[str]) -> None:
        for name in names:
            self.left_out[name] += 1

    def stats(self, connections: int, in_flight: int, waiting: int) -> PoolStats:
        """Return the statistics of the connections to this server."""
        left_out = dict(self.left_out)
        return PoolStats(connections=connections, in_flight=in_flight, waiting=waiting, left_out=left_out)


def has_explicit_metadata(call: Call) -> bool:
    """Whether `call` has metadata that must not be dropped."""
    return not call.metadata.keys() <= AMBIENT


def metadata_refused(call: Call, why: str) -> ConfigurationError:
    """Build the error for a call whose explicit metadata cannot be sent. It names keys only: values may be secret."""
    names = ", ".join(map(repr, sorted(call.metadata.keys() - AMBIENT)))
    what = f"cannot send {call.method.full_name} to {call.target} with metadata {names}"
    return ConfigurationError(f"{what}: {why}")
