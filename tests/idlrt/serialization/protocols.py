"""Every serialization with every backend that is there: tests run for each with `@each_protocol`."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pytest
from builders import BUILDERS, UNKNOWN

from idlrt.protocol.thrift.envelope import BinaryEnvelope, CompactEnvelope, Envelope, JsonEnvelope
from idlrt.protocol.thrift.message_types import MessageType
from idlrt.serialization import DEFAULT_LIMITS, BinarySerialization, CompactSerialization, JsonSerialization, Limits
from idlrt.serialization._backend import native


class How:
    """A serialization and a backend, and the envelope of Thrift messages whose values have it.

    Attributes:
        name: of the protocol.
        bytes: what builds its bytes by hand.
    """

    def __init__(self, cls: Any, backend: str, **options: bool) -> None:
        self._make = lambda limits: cls(limits, backend=backend)
        self._made: dict[Limits, Any] = {}
        self._options = options
        self._envelopes: dict[Limits, Envelope] = {}
        self.name = cls.name
        self.backend = backend
        self.bytes = BUILDERS[self.name]
        self.label = f"{'old ' if options else ''}{self.name} {backend}"

    def __call__(self, **limits: int) -> Any:
        """The serialization with these limits; the same for equal ones."""
        wanted = Limits(**limits) if limits else DEFAULT_LIMITS
        if wanted not in self._made:
            self._made[wanted] = self._make(wanted)
        return self._made[wanted]

    def envelope(self, **limits: int) -> Envelope:
        """The envelope around that serialization; the same for equal limits."""
        wanted = Limits(**limits) if limits else DEFAULT_LIMITS
        if wanted not in self._envelopes:
            self._envelopes[wanted] = self._wrap(self(**limits))
        return self._envelopes[wanted]

    def _wrap(self, values: Any) -> Envelope:
        if self.name == "binary":
            return BinaryEnvelope(values, **self._options)
        return (CompactEnvelope if self.name == "compact" else JsonEnvelope)(values)

    def new(self) -> Any:
        """A serialization that has compiled nothing yet."""
        return self._make(DEFAULT_LIMITS)

    @cached_property
    def head(self) -> bytes:
        """The head of a message."""
        return self.envelope().pack_head(MessageType.CALL, "a", 1)

    def message(self, body: bytes) -> bytes:
        """A message with this body."""
        return self.head + body + self.envelope().tail

    @property
    def unknown(self) -> dict[str, tuple[int, bytes]]:
        """A value of every type: name → type, bytes."""
        return UNKNOWN[self.name]

    def __repr__(self) -> str:
        return self.label


CLASSES = (BinarySerialization, CompactSerialization, JsonSerialization)


def _hows() -> list[How]:
    found = [How(cls, "pure") for cls in CLASSES]
    if native is not None:
        found += [How(cls, "native") for cls in CLASSES if cls.name in native.PROTOCOLS]
    return found


HOWS = _hows()
OLD = How(BinarySerialization, "pure", is_strict=False)

each_protocol = pytest.mark.parametrize("how", HOWS, ids=repr)
each_protocol_and_old = pytest.mark.parametrize("how", [*HOWS, OLD], ids=repr)
