"""Exporter for SkyWalking: segments as JSON over HTTP.

The server answers 200 even to what it does not understand: only what is read back proves anything. For one trace over
several programs, let clients write `sw8`, e.g. `trace(writes=("w3c", "sw8"))`: SkyWalking identifies spans by segments,
which no other format carries.

Source: https://skywalking.apache.org/docs/main/latest/en/api/trace-data-protocol-v3/
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from idlrt.core.forks import forks
from idlrt.observe.tracing.batches import ExportFailed
from idlrt.observe.tracing.exporters.http_post import HttpPost, post_list
from idlrt.observe.tracing.exporters.segments import Segments
from idlrt.observe.tracing.identity import instance_name
from idlrt.observe.tracing.span import FinishedSpan

__all__ = ["SkyWalkingExporter"]

_MAX_BODY: Final = 1 << 20
_CLOSE_S: Final = 2.0


class SkyWalkingExporter:
    """Sends spans to a SkyWalking server (OAP) as segments; a `SpanExporter`.

    A segment is sent once all its spans have ended, or 10 seconds after its root, with the next batch.

    Args:
        url: `http://host:12800`, or the whole URL of its endpoint `/v3/segments`.
        service: name of this program.
        headers: headers of the requests, such as credentials.

    Raises:
        ConfigurationError: the URL is invalid.
    """

    name = "skywalking"

    def __init__(self, url: str, service: str, *, headers: Mapping[str, str] | None = None) -> None:
        self._service = service
        path = url.split("://", 1)[-1].partition("/")[2]
        self._post = HttpPost(url if path else f"{url.rstrip('/')}/v3/segments", headers)
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Forget the spans of the parent in a forked child."""
        self._segments = Segments(self._service)
        # Complete segments that are not sent, and the batch that they came with.
        self._waiting: list[bytes] = []
        self._seen: list[FinishedSpan] = []

    def export(self, spans: Sequence[FinishedSpan], timeout: float) -> None:
        """Send the segments that are complete with these spans, in requests of at most 1 MiB.

        Raises:
            OSError: the server cannot be reached, or is overloaded. These spans have to come again, before others.
            ExportFailed: the server has rejected segments.
        """
        # What comes again has been added before.
        seen = len(self._seen) if list(spans[: len(self._seen)]) == self._seen else 0
        self._waiting += self._segments.add(spans[seen:], time.monotonic(), instance_name())
        self._seen = list(spans)
        rejected = self._send(timeout)
        self._seen = []
        if rejected:
            raise ExportFailed(rejected, len(spans), len(spans))

    def _send(self, timeout: float) -> str:
        """Send what waits. Return why some of it was rejected; empty if none was.

        Raises:
            OSError: the server cannot be reached, or is overloaded.
        """
        try:
            post_list(self._post, self._waiting, _MAX_BODY, timeout)
        except ExportFailed as error:
            del self._waiting[: error.done]
            if self._waiting:
                raise OSError(str(error)) from error
            return str(error)
        self._waiting.clear()
        return ""

    def close(self) -> None:
        """Send segments that are not complete, within 2 seconds, and close the connection.

        Raises:
            OSError: the server cannot be reached.
        """
        self._waiting += self._segments.rest(instance_name())
        try:
            self._send(_CLOSE_S)
        finally:
            self._post.close()
