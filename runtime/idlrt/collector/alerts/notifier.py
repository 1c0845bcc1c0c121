"""Notifier: a thread that sends the notifications of one receiver.

Nothing is queued: what is due is derived from the states of alerts and from what the receiver was told, both of which
survive restarts. So a receiver that was down for hours gets one notification with what is so then.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from idlrt.collector.alerts.notifications import Notification, body_of, plan, settled
from idlrt.collector.alerts.rules import Receiver
from idlrt.collector.alerts.silences import silenced_by
from idlrt.collector.alerts.state_file import Delivery, StateFile
from idlrt.core.logs import get_logger
from idlrt.observe.cells import Counts
from idlrt.observe.metric import Metric
from idlrt.observe.tracing.exporters.http_post import HttpPost, Rejected
from idlrt.observe.tracing.spans import suppressed
from idlrt.printable import plural

__all__ = ["NOTIFICATIONS", "Notifier", "shown_url"]

_log: Final = get_logger("idlrt.collector")

NOTIFICATIONS: Final = Metric(
    name="rpc_collector_notifications_total",
    kind="counter",
    help="Notifications of alerts, by receiver and outcome: sent, failed (sent again) or rejected",
    labels=("receiver", "outcome"),
)

_TIMEOUT_S: Final = 10.0
_LONGEST_WAIT_S: Final = 10.0
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0


def shown_url(url: str) -> str:
    """Return a URL without its path, which may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + ("/..." if parts.path.strip("/") or parts.query else "")


class Notifier:
    """Sends notifications to a receiver, until it is closed.

    Args:
        receiver: the receiver.
        states: states of the alerts.
        external_url: URL of the pages of the collector, for links.
        counts: counter of notifications; see `NOTIFICATIONS`.
        now: clock, in seconds since 1970.
    """

    def __init__(
        self,
        receiver: Receiver,
        states: StateFile,
        *,
        external_url: str = "",
        counts: Counts,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.receiver = receiver
        self._states = states
        self._external_url = external_url
        self._counts = counts
        self._now = now
        self._post = HttpPost(receiver.url, receiver.headers)
        # Number of failures, and time of the next try, by name of the delivery.
        self._failures: dict[str, tuple[int, float]] = {}
        self._changed = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="idlrt notifier", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def wake(self) -> None:
        """Look at the alerts again, which have changed."""
        self._changed.set()

    def close(self) -> None:
        """Stop. A request that is under way has some seconds to end."""
        self._is_closing = True
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_S)
        self._post.close()

    def _work(self) -> None:
        while not self._is_closing:
            self._changed.clear()
            try:
                wait = self.run()
            except Exception:  # noqa: BLE001  # the thread goes on for other alerts
                _log.exception("cannot notify %s; retrying", self.receiver.name, extra={"kind": "notifier"})
                wait = _LONGEST_WAIT_S
            self._changed.wait(wait)

    def run(self) -> float:
        """Send what is due. Return the seconds until something may be due again."""
        now = self._now()
        with self._states.lock:
            silences = list(self._states.silences.values())
            alerts = [each for each in self._states.alerts.values() if not silenced_by(silences, each.labels, now)]
            due, next_at = plan(self.receiver, alerts, self._states.deliveries, now)
        waiting = {each.name for each in due}
        self._failures = {name: each for name, each in self._failures.items() if name in waiting}
        for notification in due:
            _, retry_at = self._failures.get(notification.name, (0, -math.inf))
            if retry_at <= now and not self._is_closing:
                self._send(notification)
        pauses = [at for _, at in self._failures.values()]
        return max(min([next_at, *pauses, self._now() + _LONGEST_WAIT_S]) - self._now(), 0.05)

    def _send(self, notification: Notification) -> None:
        name, where = self.receiver.name, shown_url(self.receiver.url)
        fields = {"receiver": name, "url": where}
        body = body_of(self.receiver, notification, self._external_url, self._now())
        try:
            with suppressed():
                self._post.send(body, "application/json", _TIMEOUT_S)
        except (OSError, Rejected) as error:
            if isinstance(error, OSError) or error.status >= 500:
                pause = self._retry(notification)
                self._counts.add((name, "failed"), 1)
                _log.warning("cannot notify %s at %s: %s; retrying in %g s", name, where, error, pause, extra=fields)
                return
            self._counts.add((name, "rejected"), 1)
            _log.error("%s at %s rejected a notification: %s; not retrying", name, where, error, extra=fields)
        else:
            self._counts.add((name, "sent"), 1)
            firing, resolved = len(notification.firing), len(notification.resolved)
            what = f"{firing} firing, {resolved} resolved"
            _log.info("notified %s of %s: %s", name, plural(firing + resolved, "alert"), what, extra=fields)
        self._failures.pop(notification.name, None)
        self._settle(notification, is_accepted=True)

    def _retry(self, notification: Notification) -> float:
        """Return the seconds until a notification is tried again."""
        number = self._failures.get(notification.name, (0, 0.0))[0]
        pause = min(_FIRST_PAUSE_S * 2.0**number, _LONGEST_PAUSE_S)
        self._failures[notification.name] = min(number + 1, 16), self._now() + pause
        self._settle(notification, is_accepted=False)
        return pause

    def _settle(self, notification: Notification, *, is_accepted: bool) -> None:
        with self._states.lock:
            made = Delivery(receiver=self.receiver.name, group=notification.group)
            before = self._states.deliveries.get(notification.name, made)
            after = settled(before, notification, self._now(), is_accepted=is_accepted)
            if after != before:
                self._states.put_delivery(after)
                self._states.flush()
