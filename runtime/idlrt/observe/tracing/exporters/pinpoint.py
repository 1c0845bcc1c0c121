"""Exporter to Pinpoint, with its official agent for Python (extra `pinpoint`): a `LiveExporter`.

The agent measures and numbers spans itself, so it follows calls while they run. It continues the transactions of its
callers, and the headers of requests are its own.

Source: https://github.com/pinpoint-apm/pinpoint-python-agent, and the plugin `thrift` of the agent for Java
"""

from __future__ import annotations

import atexit
import dataclasses
import difflib
import logging
import math
import platform
import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from importlib import import_module
from typing import Any, Final

from idlrt.core import ServerCall
from idlrt.core.forks import forks
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.observe.tracing.batches import count_spans
from idlrt.observe.tracing.exporters.pinpoint_places import CLIENT, METHOD, PYTHON, SERVER, SERVER_METHOD, Place
from idlrt.observe.tracing.span import FinishedSpan, Span
from idlrt.observe.tracing.switch import FLUSH_S

__all__ = ["PinpointExporter"]

_log: Final = get_logger("idlrt.observe")

# Seconds between two records in the log about a problem, and seconds until an agent that is not connected is one.
_LOG_INTERVAL_S: Final = 60.0
_START_S: Final = 10.0
# Seconds that sending a batch may take. The agent does not tell when it has.
_SEND_S: Final = 0.5
_APPLICATION: Final = re.compile(r"[A-Za-z0-9._-]{1,254}", re.ASCII)
_HOST: Final = "pinpoint-host"

# Transaction of the span that this exporter has made the current one.
_ENTERED: Final[ContextVar[str]] = ContextVar("idlrt pinpoint transaction", default="")


class PinpointExporter:
    """Records spans with Pinpoint's agent; a `LiveExporter`.

    An agent that the program has started (`pinpoint.init`) is used as it is, and goes on when tracing is closed.
    Otherwise one is started in each process when the first call is recorded there, in the background; spans are dropped
    until it is connected to the collector, which takes a tenth of a second. It cannot be started in a process that was
    forked from one in which it was.

    Args:
        service: application name in Pinpoint: at most 254 letters, digits, `.`, `_` and `-`.
        collector: host of the collector.
        agent_port: port of the collector for agents.
        stat_port: its port for statistics.
        span_port: its port for spans.
        options: further options of `pinpoint.init`, such as `agent_name`. Variables `PINPOINT_PY_...` precede them.

    Raises:
        ConfigurationError: the agent is not installed, or an argument is invalid.
    """

    name = "pinpoint"
    format = "pinpoint"

    def __init__(
        self,
        service: str,
        *,
        collector: str = "localhost",
        agent_port: int = 9991,
        stat_port: int = 9992,
        span_port: int = 9993,
        **options: Any,
    ) -> None:
        self._pinpoint: Any = _load(options)
        if not _APPLICATION.fullmatch(service):
            raise ConfigurationError(
                f"PinpointExporter: service: must have 1 to 254 letters, digits, '.', '_' and '-', got {service!r}"
            )
        self._options: dict[str, Any] = {
            "application_name": service,
            "service_name": "DEFAULT",
            "log_level": "ERROR",
            "native_log_to_python": True,
            "collector_host": collector,
            "collector_agent_port": agent_port,
            "collector_stat_port": stat_port,
            "collector_span_port": span_port,
            **options,
        }
        self._target = f"{collector}:{agent_port}"
        self._is_closed = False
        self._is_inherited = False
        self._thread: threading.Thread | None = None
        self._reset()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin without an agent in a forked child: its threads belong to the parent."""
        self._is_inherited = self._pinpoint.get_agent() is not None
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._thread = None
        # The agent that was started here.
        self._own: Any = None
        self._is_known = False
        self._started_at = math.inf
        # When a span was handed over.
        self._handed_at = -math.inf
        self._logged_at = -math.inf

    # Spans.

    def begin_server(self, span: Span, call: ServerCall, *, is_trusted: bool) -> None:
        """Begin a transaction, or continue that of the caller, if it is trusted; see `LiveExporter`."""
        try:
            agent = self._ready()
            if agent is None:
                return
            headers: Mapping[str, str] = call.metadata if is_trusted else {}
            root = agent.new_span("Thrift Server", span.name, headers=headers)
            span.companion = Place.root(root, span.name, SERVER_METHOD, span.context.trace_id)
            host = headers.get(_HOST, "")
            peer, _, _ = call.peer.address.rpartition(":")
            root.set_service_type(SERVER).set_remote_address(peer or call.peer.address)
            root.set_end_point(host or platform.node())
            if host:
                root.set_acceptor_host(host)
            if call.is_begun:
                # A tag that was set in the handler has begun the recording.
                self.enter(span)
        except Exception as error:  # noqa: BLE001  # logged; tracing must not break a call
            self._log_failure(error)

    def begin(self, span: Span, parent: Span | None) -> None:
        """Begin an event below that of the parent, or a transaction; see `LiveExporter`."""
        try:
            agent = self._ready()
            if agent is None:
                return
            service_type = CLIENT if span.kind == "client" else METHOD
            outer = _place_of(parent) if parent is not None else None
            above = outer.nearest() if outer is not None else None
            if above is not None:
                place = above.child(span.name, service_type)
            elif (current := self._foreign(parent)) is not None:
                with current.new_span_event(span.name):
                    linked = current.new_async_span(span.name)
                place = Place.beside(linked, span.name, service_type)
            else:
                root = agent.new_span("Program", span.name)
                root.set_service_type(PYTHON).set_end_point(platform.node())
                place = Place.root(root, span.name, service_type, span.context.trace_id)
                place.stack.claim()
            span.companion = place
            if span.kind == "internal" and (place.is_root or place.is_beside):
                place.token = self._make_current(place)
        except Exception as error:  # noqa: BLE001  # logged; tracing must not break a call
            self._log_failure(error)

    def _foreign(self, parent: Span | None) -> Any:
        """Return the current span of the agent, if the program or an integration of the agent has begun it."""
        current = self._pinpoint.current_span() if parent is None else None
        return current if current is not None and current.trace_id != _ENTERED.get() else None

    def _make_current(self, place: Place) -> tuple[Any, Token[str]]:
        """Make the span of a place the current one of the agent, and return what undoes it."""
        span = place.stack.span
        return self._pinpoint.context.set_current_span(span), _ENTERED.set(span.trace_id)

    def enter(self, span: Span) -> None:
        """Make the span of a server call the current one of the agent; see `LiveExporter`."""
        try:
            place = _place_of(span)
            if place is not None:
                place.stack.claim()
                self._make_current(place)
        except Exception as error:  # noqa: BLE001  # logged; tracing must not break a call
            self._log_failure(error)

    def headers(self, span: Span, target: str) -> Mapping[str, str]:
        """Return Pinpoint's headers for a request; see `LiveExporter`."""
        try:
            place = _place_of(span)
            return place.headers(target) if place is not None else {}
        except Exception as error:  # noqa: BLE001  # logged; tracing must not break a call
            self._log_failure(error)
            return {}

    def end(self, span: Span, finished: FinishedSpan) -> None:
        """End the event of a span, and its transaction if it is the first one; see `LiveExporter`."""
        try:
            place = _place_of(span)
            if place is None or not place.stack.is_here:
                self._count("dropped")
                self._log_dropped()
                return
            if place.token is not None:
                before, entered = place.token
                with suppress(ValueError):  # it ends in another context, such as that of a generator
                    self._pinpoint.context.reset_current_span(before)
                    _ENTERED.reset(entered)
            self._handed_at = time.monotonic()
            self._count("exported" if place.is_recorded else "rejected")
            place.end(finished)
        except Exception as error:  # noqa: BLE001  # logged; tracing must not break a call
            self._log_failure(error)

    def _count(self, outcome: str) -> None:
        count_spans(self.name, outcome)

    # The agent.

    def _ready(self) -> Any:
        """Return the agent if it records now; `None` otherwise."""
        if self._is_closed:
            return None
        agent = self._pinpoint.get_agent()
        if agent is None:
            self.start()
            return None
        if not agent.enabled:
            self._started_at = min(self._started_at, time.monotonic())
            return None
        if not self._is_known:
            self._is_known = True
            # Registered after the agent's own function, which drops what waits, so it runs before that.
            atexit.register(self.flush, FLUSH_S)
        return agent

    def start(self) -> None:
        """Start the agent in this process, in the background, unless the program has started one. Idempotent."""
        with self._lock:
            if self._thread is not None or self._is_closed or self._pinpoint.get_agent() is not None:
                return
            # On another thread, because it takes a tenth of a second; and so it leaves SIGTERM to the program.
            thread = threading.Thread(target=self._init, name="idlrt pinpoint", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return  # the program ends, or has no threads left
            self._thread, self._started_at = thread, time.monotonic()

    def _init(self) -> None:
        try:
            if "log_output" not in self._options:
                # The agent adds a handler that writes to standard output to a logger without handlers.
                get_logger("pinpoint").addHandler(logging.NullHandler())
            get_logger("pinpoint.native")
            if self._pinpoint.get_agent() is None:
                self._own = self._pinpoint.init(**self._options)
        except Exception as error:  # noqa: BLE001  # logged; spans are dropped
            self._log_failure(error)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until the agent has sent its last batch. It does not tell whether the collector has accepted that.

        Returns:
            Whether that took at most `timeout` seconds.
        """
        agent = self._pinpoint.get_agent()
        if agent is None or not agent.enabled:
            return self._handed_at == -math.inf
        # A batch is sent this number of milliseconds after its first span.
        pause = agent.config.span_batch_collect_deadline_ms / 1e3 + _SEND_S - (time.monotonic() - self._handed_at)
        if pause > 0:
            time.sleep(min(pause, timeout))
        return bool(pause <= timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Flush, and stop the agent if it was started here. Idempotent; see `LiveExporter`."""
        with self._lock:
            if self._is_closed:
                return True
            self._is_closed = True
            thread = self._thread
        atexit.unregister(self.flush)
        is_flushed = self.flush(timeout)
        if thread is not None:
            thread.join(timeout)
        if self._own is not None and self._own is self._pinpoint.get_agent():
            # That its connections end is no error.
            native = get_logger("pinpoint.native")
            level = native.level
            native.setLevel(logging.CRITICAL)
            self._pinpoint.shutdown()
            native.setLevel(level)
        return is_flushed

    # Logs.

    def _is_log_due(self) -> bool:
        now = time.monotonic()
        if now - self._logged_at < _LOG_INTERVAL_S:
            return False
        self._logged_at = now
        return True

    def _log_failure(self, error: Exception) -> None:
        if self._is_log_due():
            reason = str(error) or type(error).__name__
            _log.warning("cannot record a span with Pinpoint's agent: %s", reason, extra={"exporter": self.name})

    def _log_dropped(self) -> None:
        agent = self._pinpoint.get_agent()
        if self._is_closed:
            return
        if self._is_inherited and agent is not None and not agent.config.prefork:
            why = "this process was forked after the agent had started; begin with tracing in the forked processes"
        elif time.monotonic() - self._started_at > _START_S:
            why = f"the agent is not connected to the collector at {self._target}"
        else:
            return
        if self._is_log_due():
            _log.warning("dropping spans for Pinpoint: %s", why, extra={"exporter": self.name})


def _place_of(span: Span) -> Place | None:
    found = span.companion
    return found if isinstance(found, Place) else None


def _load(options: Mapping[str, Any]) -> Any:
    """Return the package of the agent.

    Raises:
        ConfigurationError: it is not installed, or has not such an option.
    """
    try:
        pinpoint: Any = import_module("pinpoint")
        known = {each.name for each in dataclasses.fields(import_module("pinpoint.config").Config)} - {"prefork"}
    except ImportError:
        text = "Pinpoint's agent is not installed; run pip install 'idlc[pinpoint]'"
        raise ConfigurationError(f"cannot export spans to Pinpoint: {text}") from None
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigurationError(f"PinpointExporter: {name}: Pinpoint's agent has no such option{hint}")
    return pinpoint
