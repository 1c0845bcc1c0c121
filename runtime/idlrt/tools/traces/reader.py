"""Pages `/rpcz` of several instances, read at the same time.

An instance that does not respond delays the others by no more than the timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final
from urllib.parse import urlencode

import msgspec

from idlrt.errors import RpcError
from idlrt.observe.tracing.span_pages import SpanRecord, decode_page
from idlrt.printable import plural
from idlrt.tools.instances import PageReader, Target

__all__ = ["NothingReadable", "Reading", "Search", "TraceReader"]

_MAX_THREADS: Final = 16
_MISSING: Final = "tracing is off; the server must call idlrt.observe.trace() before it is created"


class NothingReadable(RpcError):
    """No instance could be read.

    Args:
        errors: the reasons by instance.

    Attributes:
        errors: see above.
    """

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(f"no traces could be read ({plural(len(errors), 'instance')})")
        self.errors = errors


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Calls to look for.

    Attributes:
        is_failed: whether only failed calls are wanted.
        min_s: minimum duration in seconds.
        method: part of the name of the method.
        status: status code.
        tags: business tags, as `NAME:VALUE`.
        limit: maximum number of calls of each instance.
    """

    is_failed: bool = False
    min_s: float = 0.0
    method: str = ""
    status: str = ""
    tags: tuple[str, ...] = ()
    limit: int = 500

    @property
    def query(self) -> str:
        """Query of the page."""
        pairs = [("format", "json"), ("order", "failed" if self.is_failed else "recent"), ("limit", str(self.limit))]
        if self.min_s:
            pairs.append(("min_s", repr(self.min_s)))
        pairs += [(name, text) for name, text in (("method", self.method), ("status", self.status)) if text]
        pairs += [("tag", each) for each in self.tags]
        return urlencode(pairs)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Spans of all instances.

    Attributes:
        spans: the spans, each once, in the order of their starts.
        errors: why an instance could not be read, by instance.
    """

    spans: Sequence[SpanRecord]
    errors: Mapping[str, str]


class TraceReader:
    """Reader of traces.

    Args:
        targets: returns the instances.
        pages: reads their pages.
    """

    def __init__(self, targets: Callable[[], Sequence[Target]], pages: PageReader) -> None:
        self._targets = targets
        self._pages = pages

    def calls(self, search: Search) -> Reading:
        """Return recorded calls: spans of servers, and roots.

        Raises:
            NothingReadable: there are no instances, or none of them could be read.
        """
        return self._read(f"/rpcz?{search.query}")

    def trace(self, trace_id: str) -> Reading:
        """Return the spans of a trace.

        Args:
            trace_id: 32 lower-case hex digits.

        Raises:
            NothingReadable: there are no instances, or none of them could be read.
        """
        return self._read(f"/rpcz/{trace_id}?format=json")

    def _read(self, path: str) -> Reading:
        targets = self._targets()
        spans: dict[str, SpanRecord] = {}
        errors: dict[str, str] = {}
        with ThreadPoolExecutor(min(len(targets), _MAX_THREADS) or 1, thread_name_prefix="idlrt trace") as executor:
            for target, (found, error) in zip(targets, executor.map(partial(self._of, path), targets), strict=True):
                # Instances of one process have the same spans.
                spans |= {each.span_id: each for each in found}
                if error:
                    errors[target.name or target.key.removeprefix("http://")] = error
        if len(errors) == len(targets):
            raise NothingReadable(errors)
        return Reading(spans=sorted(spans.values(), key=lambda each: each.started_at), errors=errors)

    def _of(self, path: str, target: Target) -> tuple[Sequence[SpanRecord], str]:
        if target.url is None:
            return (), target.error
        try:
            return decode_page(self._pages.read(target.url, path, _MISSING)).spans, ""
        except RpcError as error:
            return (), str(error)
