"""What a client knows of one server, shared by all its connections: what is spoken, and whether it has ever answered.

Metadata is handled here because it depends on what is spoken. *Explicit* metadata (credentials, a tenant: whatever
`using(metadata=...)` or a filter sets) is never left out: where the framing cannot carry it, the call is refused before
anything is sent. *Ambient* values (`idlrt.core.headers.AMBIENT`) are best effort: left out, and counted.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from idlrt.client.ping import PING
from idlrt.client.stats import PoolStats
from idlrt.core import AMBIENT, CLIENT_TIMEOUT, NO_METADATA, Call, Metadata, milliseconds
from idlrt.errors import ConfigurationError
from idlrt.wire.dialect import Dialect

__all__ = ["PeerState", "has_explicit_metadata", "metadata_refused"]


class PeerState:
    """See the module. Threads may share it.

    Args:
        dialect: what is spoken to the server.
        is_encrypted: whether that is over TLS.

    Attributes:
        dialect: see above.
        carries_metadata: whether metadata travels with calls.
        has_answered: whether it has ever answered a call, or a ping.
        left_out: how often each ambient value was left out, by name.
    """

    __slots__ = ("__weakref__", "carries_metadata", "dialect", "has_answered", "is_encrypted", "left_out")

    def __init__(self, dialect: Dialect, *, is_encrypted: bool = False) -> None:
        self.dialect: Final = dialect
        self.is_encrypted: Final = is_encrypted
        self.has_answered = False
        self.carries_metadata: Final = dialect.framing.has_metadata
        # `counts[name] += 1` on a `defaultdict` is one step for other threads: no Python code runs within.
        self.left_out: Final[defaultdict[str, int]] = defaultdict(int)

    def doubts(self) -> str:
        """Say what may be wrong with a server that closes connections and has never answered."""
        framing = self.dialect.framing.name
        other = "unframed" if framing == "framed" else "framed"
        doubts = f'if it reads {other} messages, connect with framing="{other}" (or "auto")'
        return f"{doubts}; if it speaks TLS, with tls=Tls(...)" if not self.is_encrypted else doubts

    def check_metadata(self, call: Call) -> None:
        """Check that the explicit metadata of `call` can travel.

        Raises:
            ConfigurationError: it cannot; nothing has been sent.
        """
        if call.metadata and not self.carries_metadata and has_explicit_metadata(call):
            raise metadata_refused(call, f"the framing {self.dialect.framing.name!r} carries none")

    def metadata_of(self, call: Call, dialect: Dialect) -> Metadata:
        """Return what travels with `call`: its metadata, and the milliseconds that its caller goes on waiting.

        Args:
            dialect: of the connection.
        """
        if dialect.framing.has_metadata:
            return {**call.metadata, CLIENT_TIMEOUT: milliseconds(call.deadline.remaining(call.driver.now()))}
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
