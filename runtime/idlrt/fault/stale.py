"""Fault mode `stale`: when a call fails, return the cached result of the last identical call if it is recent enough.

For data that changes slowly and is read often: a price list from a minute ago is better than none. Failures are retried
first, as in `failover`. Non-idempotent methods are only retried: a cached result would report an execution that did
not happen. Results are cached in serialized form, so callers cannot modify the cache through returned objects.
"""

from __future__ import annotations

import io
import pickle
import threading
from collections import OrderedDict
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from idlrt.core import Call, ClockAndRandom, FallbackUsed, Positive
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.errors import NotSent, Unknown
from idlrt.fault.base import Dispatcher, may_repeat
from idlrt.fault.failover import Failover

__all__ = ["Stale"]

_log: Final = get_logger("idlrt.client")


class StaleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of `stale`."""

    max_age: Annotated[Positive, Meta(description="maximum age of a cached result.")] = 300.0
    max_entries: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="maximum number of cached results; the least recently used one is evicted first.",
        ),
    ] = 1000
    max_entry_bytes: Annotated[int, Meta(ge=1, description="maximum size of a cached result in bytes.")] = 65536


class Stale(Failover):
    """Stale results on error. Implements `FaultMode`."""

    Settings: ClassVar[type[msgspec.Struct]] = StaleSettings
    name: ClassVar[str] = "stale"

    def __init__(self, settings: StaleSettings, sources: ClockAndRandom) -> None:
        super().__init__(settings, sources)
        self._settings = settings
        self._answers: OrderedDict[tuple[str, bytes], tuple[float, bytes]] = OrderedDict()
        self._has_complained = False
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Replace the lock after a fork."""
        self._lock = threading.Lock()

    async def call(self, call: Call, dispatcher: Dispatcher[Any]) -> Any:
        """Make `call`, or return the cached result if it fails."""
        if not may_repeat(call):
            return await super().call(call, dispatcher)
        try:
            answer = await super().call(call, dispatcher)
        except (NotSent, Unknown) as error:
            found = self._find(call)
            if found is None:
                raise
            age, cached = found
            name = call.method.full_name
            fields = {"method": name, "mode": "stale", "age": age}
            _log.warning("returning stale result of %s (%.3g s old): %s", name, age, error, extra=fields)
            if dispatcher.has_listeners(call):
                why = f"stale result ({age:.3g} s old): {error}"
                dispatcher.notify(call, FallbackUsed(subject=name, why=why, by="stale"))
            return pickle.loads(cached)  # safe: pickled by this process
        self._keep(call, answer)
        return answer

    def _keep(self, call: Call, answer: Any) -> None:
        if call.method.is_oneway or answer is None:
            return
        try:
            cached = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
            key = _key(call)
        except Exception as error:  # noqa: BLE001  # user classes may raise anything when pickled
            # For example local classes. The call has succeeded and must not fail because of the cache.
            if not self._has_complained:
                self._has_complained = True
                name = call.method.full_name
                fields = {"method": name, "mode": "stale"}
                _log.warning("cannot cache results of %s for fault=stale: %s", name, error, extra=fields)
            return
        if len(cached) > self._settings.max_entry_bytes:
            return
        with self._lock:
            self._answers[key] = (self._sources.now(), cached)
            self._answers.move_to_end(key)
            if len(self._answers) > self._settings.max_entries:
                self._answers.popitem(last=False)

    def _find(self, call: Call) -> tuple[float, bytes] | None:
        try:
            key = _key(call)
        except Exception:  # noqa: BLE001  # as above: so nothing was cached
            return None
        with self._lock:
            found = self._answers.get(key)
            if found is None:
                return None
            age = self._sources.now() - found[0]
            if age > self._settings.max_age:
                del self._answers[key]
                return None
            self._answers.move_to_end(key)
        return age, found[1]


def _key(call: Call) -> tuple[str, bytes]:
    """Return the cache key: method, arguments, tag, and the caller's metadata (`using(metadata=...)`).

    Metadata that filters add is excluded, because it may differ for each call, as a trace id does.
    """
    written = io.BytesIO()
    pickler = pickle.Pickler(written, pickle.HIGHEST_PROTOCOL)
    pickler.fast = True  # no memo: equal values pickle to equal bytes, whether they are one object or two
    metadata = sorted(call.options.get("metadata", {}).items())
    pickler.dump((call.arguments, call.tag, metadata))
    return call.method.full_name, written.getvalue()
