"""What a client knows of one server, shared by all its connections: what is spoken, and whether it has ever answered.

Metadata is handled here because it depends on what is spoken. *Explicit* metadata (credentials, a tenant: whatever
`using(metadata=...)` or a filter sets) is never left out: where the framing cannot carry it, the call is refused before
anything is sent. *Ambient* values (`idlrt.core.headers.AMBIENT`) are best effort: left out, and counted.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Generator
from typing import Final

from idlrt.client.ping import PING, PING_TIMEOUT
from idlrt.client.stats import PoolStats
from idlrt.core import AMBIENT, CLIENT_TIMEOUT, NO_METADATA, Call, Metadata, milliseconds
from idlrt.core.forks import forks
from idlrt.errors import ConfigurationError
from idlrt.wire.dialect import Dialect

__all__ = ["PeerState", "has_explicit_metadata", "metadata_refused"]


class PeerState:
    """See the module. Threads may share it.

    Args:
        dialect: what is spoken to the server.
        others: what else comes into question; then it has to be found out (`idlrt.client.framing_probe`).
        is_encrypted: whether that is over TLS.
        probe_timeout: seconds to wait for an answer while it is found out, in each dialect.

    Attributes:
        dialect: what is spoken; `None` until that is known.
        dialects: all that come into question.
        has_answered: whether it has ever answered a call, or a ping.
        left_out: how often each ambient value was left out, by name.
    """

    __slots__ = (
        "__weakref__", "_lock", "dialect", "dialects", "has_answered", "is_encrypted", "left_out", "probe_timeout"
    )  # fmt: skip

    def __init__(
        self, dialect: Dialect, *others: Dialect, is_encrypted: bool = False, probe_timeout: float = PING_TIMEOUT
    ) -> None:
        self.dialects: Final = (dialect, *others)
        self.dialect: Dialect | None = None if others else dialect
        self.is_encrypted: Final = is_encrypted
        self.probe_timeout: Final = probe_timeout
        self.has_answered = False
        # `counts[name] += 1` on a `defaultdict` is one step for other threads: no Python code runs within.
        self.left_out: Final[defaultdict[str, int]] = defaultdict(int)
        self.renew()
        if others:
            forks.renew(self)

    def renew(self) -> None:
        """In a child of the process that made it."""
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def probing(self, until: float) -> Generator[None]:
        """Let one thread at a time find out what is spoken.

        Args:
            until: on the clock of `time.monotonic`.

        Raises:
            TimeoutError: another thread has not found it out by then.
        """
        if not self._lock.acquire(timeout=max(until - time.monotonic(), 0.0)):
            raise TimeoutError
        try:
            yield
        finally:
            self._lock.release()

    def reconsider(self) -> None:
        """A fresh connection was closed before its first answer: if it was found out what is spoken, do it again."""
        if len(self.dialects) > 1:
            self.dialect = None

    @property
    def carries_metadata(self) -> bool:
        """Whether metadata travels with calls, as far as is known."""
        return self.dialect is None or self.dialect.framing.has_metadata

    def doubts(self) -> str:
        """Say what may be wrong with a server that closes connections, or keeps silent, and has never answered."""
        doubts: list[str] = []
        if len(self.dialects) == 1:
            other = "unframed" if self.dialects[0].framing.name == "framed" else "framed"
            doubts.append(f'if it reads {other} messages, connect with framing="{other}" (or "auto")')
        if not self.is_encrypted:
            doubts.append("if it speaks TLS, connect with tls=Tls(...)")
        return "; ".join((*doubts, "otherwise it may have worked on the call"))

    def check_metadata(self, call: Call) -> None:
        """Check that the explicit metadata of `call` can travel, as far as is known.

        Raises:
            ConfigurationError: it cannot; nothing has been sent.
        """
        if call.metadata and self.dialect is not None:
            self._check(call, self.dialect)

    def _check(self, call: Call, dialect: Dialect) -> None:
        if not dialect.framing.has_metadata and has_explicit_metadata(call):
            why = f"the framing {dialect.framing.name!r} carries none"
            if len(self.dialects) > 1:
                why = f'framing="auto" found {dialect.framing.name!r}, which carries none'
            raise metadata_refused(call, why)

    def metadata_of(self, call: Call, dialect: Dialect) -> Metadata:
        """Return what travels with `call`: its metadata, and the milliseconds that its caller goes on waiting.

        Args:
            dialect: of the connection.

        Raises:
            ConfigurationError: as `check_metadata`.
        """
        if dialect.framing.has_metadata:
            return {**call.metadata, CLIENT_TIMEOUT: milliseconds(call.deadline.remaining(call.driver.now()))}
        if call.metadata:
            self._check(call, dialect)
        if call.method is not PING:
            self.left_out[CLIENT_TIMEOUT] += 1
            for name in call.metadata:
                self.left_out[name] += 1
        return NO_METADATA

    def stats(self, connections: int, in_flight: int, waiting: int) -> PoolStats:
        """Return the statistics of the connections to this server."""
        left_out = dict(self.left_out)
        return PoolStats(connections=connections, in_flight=in_flight, waiting=waiting, left_out=left_out)


def has_explicit_metadata(call: Call) -> bool:
    """Whether `call` has metadata that must not be left out."""
    return not call.metadata.keys() <= AMBIENT


def metadata_refused(call: Call, why: str) -> ConfigurationError:
    """Build the error for a call whose explicit metadata cannot travel. It names keys only: values may be secret."""
    names = ", ".join(map(repr, sorted(call.metadata.keys() - AMBIENT)))
    what = f"did not send {call.method.full_name} to {call.target}: its metadata ({names}) would be lost, because {why}"
    return ConfigurationError(f'{what}; connect with framing="header" if the server reads it, or set no metadata')
