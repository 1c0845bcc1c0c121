"""`stale`: when a call fails, the last good answer to the very same question is given, if it is not too old.

For what changes slowly and is asked often: a price list of a minute ago is better than none. Failures are retried
first, as `failover` does. Methods that are not idempotent are left to that: an old answer would say that something was
done which was not. Answers are kept as bytes, so nobody can change them by changing what was returned.
"""

from __future__ import annotations

import io
import pickle
import threading
from collections import OrderedDict
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from idlrt.core import Call, Chance, Positive, Replaced
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.errors import NotSent, Unknown
from idlrt.fault.base import Reach, may_repeat
from idlrt.fault.failover import Failover

__all__ = ["Stale"]

_log: Final = get_logger("idlrt.client")


class StaleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `stale`."""

    age: Annotated[Positive, Meta(description="maximum age of a cached result.")] = 300.0
    answers: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="maximum number of cached results; the least recently used one is evicted first.",
        ),
    ] = 1000
    bytes: Annotated[int, Meta(ge=1, description="maximum size of a cached result in bytes.")] = 65536


class Stale(Failover):
    """See the module. A `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = StaleSettings
    name: ClassVar[str] = "stale"

    def __init__(self, settings: StaleSettings, chance: Chance) -> None:
        super().__init__(settings, chance)
        self._settings = settings
        self._answers: OrderedDict[tuple[str, bytes], tuple[float, bytes]] = OrderedDict()
        self._has_complained = False
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """In a child of the process."""
        self._lock = threading.Lock()

    async def call(self, call: Call, reach: Reach[Any]) -> Any:
        """See `FaultMode.call`."""
        if not may_repeat(call):
            return await super().call(call, reach)
        try:
            answer = await super().call(call, reach)
        except (NotSent, Unknown) as error:
            found = self._find(call)
            if found is None:
                raise
            age, kept = found
            _log.warning("%s failed; its answer of %.3g s ago is given: %s", call.method.full_name, age, error)
            if reach.is_heard(call):
                reach.tell(call, Replaced(subject=call.method.full_name, why=f"{age:.3g} s old: {error}", by="stale"))
            return pickle.loads(kept)  # written by this process
        self._keep(call, answer)
        return answer

    def _keep(self, call: Call, answer: Any) -> None:
        if call.method.is_oneway or answer is None:
            return
        try:
            kept = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
            key = _key(call)
        except Exception as error:  # noqa: BLE001  # whatever a class of somebody else raises
            # As of classes that no module has. The call has its answer, and must not fail behind it.
            if not self._has_complained:
                self._has_complained = True
                _log.warning("answers of %s cannot be kept for fault=stale: %s", call.method.full_name, error)
            return
        if len(kept) > self._settings.bytes:
            return
        with self._lock:
            self._answers[key] = (self._chance.now(), kept)
            self._answers.move_to_end(key)
            if len(self._answers) > self._settings.answers:
                self._answers.popitem(last=False)

    def _find(self, call: Call) -> tuple[float, bytes] | None:
        try:
            key = _key(call)
        except Exception:  # noqa: BLE001  # as above: then nothing was kept
            return None
        with self._lock:
            found = self._answers.get(key)
            if found is None:
                return None
            age = self._chance.now() - found[0]
            if age > self._settings.age:
                del self._answers[key]
                return None
            self._answers.move_to_end(key)
        return age, found[1]


def _key(call: Call) -> tuple[str, bytes]:
    """What tells questions apart: method and arguments; and for whom they are: the tag, and what the caller has said in
    `using(metadata=...)`. (What filters add is different each time, as the number of a trace is.)
    """
    written = io.BytesIO()
    pickler = pickle.Pickler(written, pickle.HIGHEST_PROTOCOL)
    pickler.fast = True  # two equal values are written alike, whether they are one object or two
    said = sorted(call.options.get("metadata", {}).items())
    pickler.dump((call.arguments, call.tag, said))
    return call.method.full_name, written.getvalue()
