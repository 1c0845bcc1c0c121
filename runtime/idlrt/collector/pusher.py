"""Push: a thread of a program that sends what it has counted to a collector.

    from idlrt import collector

    with collector.push("127.0.0.1:7410", service="shop"):
        server.serve()

Each snapshot has everything since the start of the program, so one that does not arrive costs resolution and no count.
"""

from __future__ import annotations

import atexit
import itertools
import math
import os
import platform
import random
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

from idlrt.collector.api import Sender
from idlrt.collector.packets import Form, packets_of
from idlrt.collector.transports import Transport, transport_to
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.net.tls import Tls
from idlrt.observe import enable, read_all, watch_process
from idlrt.observe.snapshot import Snapshot, by_name
from idlrt.observe.sources import SERVERS

__all__ = ["INTERVAL_S", "Pusher", "push"]

_log: Final = get_logger("idlrt.observe")

INTERVAL_S: Final = 10.0
"""Seconds between two snapshots."""

_LEAST_S: Final = 0.1
_TIMEOUT_S: Final = 5.0
_CLOSE_S: Final = 2.0
_LOG_INTERVAL_S: Final = 60.0


class Pusher:
    """Sends snapshots of this process to a collector, until it is closed. `push` makes one.

    A forked child pushes nothing until `start` is called there. The supervisor of a `ProcessServer` has the sums of its
    processes, so push there only.
    """

    def __init__(
        self,
        target: str,
        connect: Callable[[], Transport],
        *,
        resource: Mapping[str, str],
        interval: float,
    ) -> None:
        self._target = target
        self._connect = connect
        self._resource = dict(resource)
        self._interval = interval
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Stop in a forked child, which is another sender."""
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None
        self._transport: Transport | None = None
        self._is_closing = False
        self._sequences = itertools.count(1)
        self._sender = Sender(id=random.getrandbits(63), started_at=time.time(), resource=self._resource)
        self._wanted_s = self._interval
        self._logged_at = -math.inf
        self.pushed = self.failed = 0

    def start(self) -> Self:
        """Start to push, first at once. Does nothing if it runs already."""
        with self._changed:
            if self._thread is not None:
                return self
            enable()
            watch_process()
            self._thread = threading.Thread(target=self._work, name="idlrt push", daemon=True)
            self._thread.start()
        # Programs that end at once are counted, too.
        atexit.register(self.close, _CLOSE_S)
        return self

    def _work(self) -> None:
        while True:
            self._push(is_last=False, timeout=_TIMEOUT_S)
            with self._changed:
                if self._changed.wait_for(lambda: self._is_closing, self._wanted_s):
                    return

    def push_now(self, timeout: float = _TIMEOUT_S) -> bool:
        """Send a snapshot now. Return whether all of it was accepted, or sent as datagrams."""
        return self._push(is_last=False, timeout=timeout)

    def _push(self, *, is_last: bool, timeout: float) -> bool:
        with self._sending:
            try:
                now = Snapshot(
                    at=time.time(),
                    started_at=self._sender.started_at,
                    core=SERVERS.core,
                    series=by_name(read_all()),
                )
                transport = self._transport
                if transport is None:
                    transport = self._transport = self._connect()
                wanted = 0.0
                for packet in packets_of(now, self._sender, self._sequences, size=transport.size, is_last=is_last):
                    wanted = transport.send(packet, timeout)
            except Exception as error:  # noqa: BLE001  # a value of the program may be odd, too; the thread goes on
                self.failed += 1
                self._log_failure(error)
                # The next one connects again, without the pauses of a client that has failed before.
                self._disconnect()
                return False
            self.pushed += 1
            # The collector may want snapshots more often, not less.
            self._wanted_s = min(max(wanted, _LEAST_S), self._interval) if wanted else self._interval
            return True

    def _log_failure(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged_at >= _LOG_INTERVAL_S:
            self._logged_at = now
            fields = {"target": self._target}
            _log.warning("cannot push to the collector at %s: %s; retrying", self._target, error, extra=fields)

    def close(self, timeout: float = _TIMEOUT_S) -> bool:
        """Send a last snapshot, and stop. Return whether it was accepted within `timeout` seconds. Idempotent."""
        atexit.unregister(self.close)
        with self._changed:
            thread, self._thread = self._thread, None
            if thread is None:
                return True
            self._is_closing = True
            self._changed.notify_all()
        thread.join(timeout)
        is_sent = not thread.is_alive() and self._push(is_last=True, timeout=timeout)
        with self._sending:
            self._disconnect()
        return is_sent

    def _disconnect(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def push(
    target: str,
    *,
    service: str = "",
    instance: str = "",
    zone: str = "",
    version: str = "",
    interval: float = INTERVAL_S,
    token: str = "",
    tls: Tls | None = None,
    form: Form = "compact",
    kafka_options: Mapping[str, str] | None = None,
) -> Pusher:
    """Push the metrics of this process to a collector, from now on until the result is closed. Enables metrics.

    Args:
        target: `host:port` (calls over TCP, each acknowledged), `udp://host:port`, `unixgram:/path` for a collector
            or an agent on this machine, or `kafka://host:port[,host:port]/topic`.
        service: name of this program. Default: the environment variable `OTEL_SERVICE_NAME`.
        instance: name of this process. Default: host and process id.
        zone: data centre or zone.
        version: version of the program.
        interval: seconds between two snapshots; the collector may want them more often.
        token: token that the collector requires; over TCP only.
        tls: TLS settings; over TCP only.
        form: serialization of datagrams: `compact` or `json`.
        kafka_options: settings of librdkafka for Kafka, such as `{"security.protocol": "SSL"}`.

    Raises:
        ConfigurationError: an argument is invalid.
    """
    service = service or os.environ.get("OTEL_SERVICE_NAME", "")
    if not service or not service.isprintable():
        raise ConfigurationError(f"push: service: must be a name, got {service!r}")
    if not _LEAST_S <= interval < math.inf:
        raise ConfigurationError(f"push: interval: must be at least {_LEAST_S} seconds, got {interval!r}")
    if form not in ("compact", "json"):
        raise ConfigurationError(f"push: form: must be compact or json, got {form!r}")
    connect = transport_to(target, token=token, tls=tls, form=form, kafka_options=kafka_options)
    host = platform.node() or "localhost"
    resource = {
        "service": service,
        "instance": instance or f"{host}:{os.getpid()}",
        "host": host,
        "zone": zone,
        "version": version,
    }
    known = {name: value for name, value in resource.items() if value}
    return Pusher(target, connect, resource=known, interval=interval).start()
