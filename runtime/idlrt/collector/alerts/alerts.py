"""Alerts of a collector: evaluates rules every 10 seconds, keeps the states of alerts, and notifies receivers.

States, silences and what receivers were told are in a file, so a restart neither forgets nor repeats anything. A
notification is repeated only if the process is killed between the answer of the receiver and the next write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from idlrt.collector.alerts.evaluation import Decision, Evaluator
from idlrt.collector.alerts.notifier import NOTIFICATIONS, Notifier
from idlrt.collector.alerts.rules import AlertRule, RuleSet
from idlrt.collector.alerts.rules_file import read_rules
from idlrt.collector.alerts.silences import KEPT_S, MAX_SILENCES, Silence, silenced_by
from idlrt.collector.alerts.state_file import StateFile
from idlrt.collector.alerts.states import Alert, Change, advance, has_labels_of, removed
from idlrt.collector.alerts.view import AlertState, state_of, states_of_rules
from idlrt.collector.alerts.windows import CELL_S, DELAY_S, Key
from idlrt.collector.store import CellStore, StoreError
from idlrt.core.logs import get_logger
from idlrt.errors import ConfigurationError
from idlrt.observe.cells import Counts
from idlrt.observe.metric import Metric, Series
from idlrt.printable import plural

__all__ = ["ALERTS", "FILE_NAME", "Alerts"]

_log: Final = get_logger("idlrt.collector")

FILE_NAME: Final = "alerts.db"
"""Name of the file with states in the folder of the collector."""

ALERTS: Final = Metric(
    name="rpc_collector_alerts",
    kind="gauge",
    help="Alerts by state: pending, firing or keeping (they go on firing for a time)",
    labels=("state",),
)

_MAX_ALERTS: Final = 10_000
# After a longer outage, the time for which a condition has held begins again.
_MAX_OUTAGE_S: Final = 3600.0
_WRITE_S: Final = 60.0
# Alerts that have ended and could not be told are forgotten.
_FORGET_S: Final = 5 * 86400.0


class Alerts:
    """Alerts of a collector. Threads may share it.

    Args:
        store: the store whose values are evaluated.
        rules: file with rules and receivers (TOML), or its contents.
        folder: folder of the file with states.
        now: clock, in seconds since 1970.

    Raises:
        ConfigurationError: a file is invalid or cannot be used.
    """

    def __init__(
        self, store: CellStore, rules: Path | str | RuleSet, folder: Path, now: Callable[[], float] = time.time
    ) -> None:
        self._source = rules
        self._rules = rules if isinstance(rules, RuleSet) else read_rules(rules)
        self._now = now
        self._states = StateFile(folder / FILE_NAME)
        self._evaluator = Evaluator(store, now)
        self._counts = Counts(NOTIFICATIONS)
        self._errors: dict[str, str] = {}
        self._wanted = threading.Event()
        self._is_reloading = self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="idlrt alerts", daemon=True)
        self._notifiers: list[Notifier] = []
        self._written_at = 0.0
        self._take_over()
        self._make_notifiers()

    def _take_over(self) -> None:
        """Take over the states of before the last start."""
        now, states = self._now(), self._states
        is_late = now - states.evaluated_at > _MAX_OUTAGE_S
        for alert in list(states.alerts.values()):
            if alert.state == "pending" and is_late:
                states.remove_alert(alert.fingerprint)
            else:
                # Nothing could be decided while the collector was down.
                states.put_alert(msgspec.structs.replace(alert, decided_at=now))

    def _make_notifiers(self) -> None:
        rules = self._rules
        self._notifiers = [
            Notifier(each, self._states, external_url=rules.external_url, counts=self._counts, now=self._now)
            for each in rules.receivers
        ]

    @property
    def notifiers(self) -> Sequence[Notifier]:
        """Notifiers, in the order of the receivers."""
        return self._notifiers

    @property
    def rules(self) -> Sequence[AlertRule]:
        """Rules in the order of the file."""
        return self._rules.rules

    def start(self) -> None:
        """Begin to evaluate and to notify."""
        self._thread.start()
        for each in self._notifiers:
            each.start()

    def close(self) -> None:
        """Stop, and close the file."""
        self._is_closing = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join()
        for each in self._notifiers:
            each.close()
        self._states.close()

    def request_reload(self) -> None:
        """Read the file with rules again, soon. A signal handler may call it."""
        self._is_reloading = True
        self._wanted.set()

    def reload(self) -> None:
        """Read the file with rules again. States of rules that are the same stay.

        Raises:
            ConfigurationError: the file is invalid; the rules stay as they were.
        """
        if isinstance(self._source, RuleSet):
            return
        rules = read_rules(self._source)
        for each in self._notifiers:
            each.close()
        with self._states.lock:
            self._rules = rules
            self._evaluator.forget()
            self._errors.clear()
            self._make_notifiers()
        if self._thread.is_alive():
            for notifier in self._notifiers:
                notifier.start()
        what = plural(len(rules.rules), "rule")
        _log.info("reloaded %s of alerts from %s", what, self._source, extra={})

    def _work(self) -> None:
        while not self._is_closing:
            self._wanted.clear()
            if self._is_reloading:
                self._is_reloading = False
                try:
                    self.reload()
                except ConfigurationError as error:
                    _log.error("cannot reload the alerts: %s; keeping the previous rules", error, extra={})
            try:
                self.evaluate()
            except Exception:  # noqa: BLE001  # evaluated again
                _log.exception("cannot evaluate alerts; retrying", extra={"kind": "alerts"})
            # Soon after each cell is complete.
            self._wanted.wait(CELL_S - (self._now() - DELAY_S) % CELL_S + 0.1)

    def evaluate(self) -> None:
        """Evaluate all rules now."""
        rules = self._rules
        alerts: dict[str, dict[Key, Alert]] = {}
        for alert in list(self._states.alerts.values()):
            alerts.setdefault(alert.rule, {})[alert.key] = alert
        for rule in rules.rules:
            decisions: dict[Key, Decision] = {}
            try:
                decisions = {each.key: each for each in self._evaluator.evaluate(rule)}
            except (ConfigurationError, StoreError) as error:
                _log.warning("cannot evaluate the alert %s: %s", rule.name, error, extra={"rule": rule.name})
                self._errors[rule.name] = str(error)
            else:
                self._errors.pop(rule.name, None)
            with self._states.lock:
                self._apply(rule, alerts.get(rule.name, {}), decisions)
                self._states.flush()
            if self._is_closing:
                return
        with self._states.lock:
            self._end_of_removed(rules)
            self._forget()
            now = self._now()
            if not 0 <= now - self._written_at < _WRITE_S:
                self._written_at = now
                self._states.put_evaluated_at(now)
            self._states.flush()
        for each in self._notifiers:
            each.wake()

    def _apply(self, rule: AlertRule, present: dict[Key, Alert], decisions: dict[Key, Decision]) -> None:
        """Advance the alerts of a rule."""
        now = self._now()
        for key in dict.fromkeys((*present, *decisions)):
            before = present.get(key)
            if before is None and len(self._states.alerts) >= _MAX_ALERTS:
                if decisions[key].holds:
                    _log.error("more than %d alerts; dropping those of %s", _MAX_ALERTS, rule.name, extra={})
                continue
            self._set(before, advance(before, decisions.get(key), rule, now))

    def _set(self, before: Alert | None, after: Alert | None) -> None:
        """Set an alert, and record the change of its state."""
        if before is not None and (after is None or after.fingerprint != before.fingerprint):
            self._states.remove_alert(before.fingerprint)
        if after is not None:
            self._states.put_alert(after)
        old, new = before.state if before is not None else "inactive", after.state if after is not None else "inactive"
        about = after or before
        if old == new or about is None:
            return
        change = Change(
            at=self._now(),
            rule=about.rule,
            fingerprint=about.fingerprint,
            labels=about.labels,
            before=old,
            after=new,
            value_text=about.value_text,
            threshold_text=about.threshold_text,
            reason=about.reason,
        )
        self._states.add_change(change)
        summary = about.annotations.get("summary", "")
        fields = {"kind": about.rule, "alert": about.rule, "state": new, "fingerprint": about.fingerprint}
        log = _log.warning if new == "firing" else _log.info
        log(
            "alert %s is %s: %s%s", about.rule, new, summary, f" ({about.reason})" if about.reason else "", extra=fields
        )

    def _end_of_removed(self, rules: RuleSet) -> None:
        """End the alerts of rules that were removed, or have other labels now."""
        known = {each.name: each for each in rules.rules}
        now = self._now()
        for alert in list(self._states.alerts.values()):
            rule = known.get(alert.rule)
            if rule is None or not has_labels_of(alert, rule):
                self._set(alert, removed(alert, now))

    def _forget(self) -> None:
        """Forget alerts whose end was told, silences that are over, and receivers that were removed."""
        states, now = self._states, self._now()
        receivers = {each.receiver.name: each.receiver for each in self._notifiers}
        for delivery in list(states.deliveries.values()):
            receiver = receivers.get(delivery.receiver)
            known = frozenset(
                fingerprint
                for fingerprint in delivery.told | delivery.tried
                if receiver is not None
                and (alert := states.alerts.get(fingerprint)) is not None
                and (alert.is_firing or receiver.send_resolved)
            )
            if known != delivery.told | delivery.tried:
                told, tried = delivery.told & known, delivery.tried & known
                states.put_delivery(msgspec.structs.replace(delivery, told=told, tried=tried))
        waiting = frozenset[str]().union(*(each.told | each.tried for each in states.deliveries.values()))
        for alert in list(states.alerts.values()):
            if alert.state == "resolved" and (alert.fingerprint not in waiting or now - alert.ended_at > _FORGET_S):
                states.remove_alert(alert.fingerprint)
        for silence in list(states.silences.values()):
            if now - silence.ends_at > KEPT_S:
                states.remove_silence(silence.id)

    def states(self) -> list[AlertState]:
        """Return all alerts that are not inactive, and one state for each rule that has none, in the order of rules."""
        with self._states.lock:
            rules = {each.name: each for each in self._rules.rules}
            silences, now = list(self._states.silences.values()), self._now()
            found = [
                state_of(
                    each, rules.get(each.rule), silenced_by(silences, each.labels, now), self._errors.get(each.rule, "")
                )
                for each in self._states.alerts.values()
            ]
            return states_of_rules(self._rules.rules, found, self._errors)

    def history(self, limit: int = 100) -> list[Change]:
        """Return the last changes of states, the newest first.

        Raises:
            ConfigurationError: the file is damaged.
        """
        with self._states.lock:
            return self._states.changes(limit)

    def silences(self) -> list[Silence]:
        """Return all silences, also those that have ended in the last days, the one that ends last first."""
        with self._states.lock:
            return sorted(self._states.silences.values(), key=lambda each: -each.ends_at)

    def silence(
        self, matchers: Sequence[str], ends_at: float, author: str, comment: str, starts_at: float | None = None
    ) -> Silence:
        """Hold back notifications of alerts.

        Args:
            matchers: conditions on labels, such as `service=shop` or `alertname=~Rpc.*`; all must match.
            ends_at: end, in seconds since 1970.
            author: who has made it.
            comment: why.
            starts_at: start, in seconds since 1970; `None`: now.

        Raises:
            ConfigurationError: a part is invalid, the end is past, or there are too many.
        """
        now = self._now()
        made = Silence.make(matchers, now if starts_at is None else starts_at, ends_at, author, comment)
        if ends_at <= now:
            raise ConfigurationError("silence: the end must be in the future")
        with self._states.lock:
            if len(self._states.silences) >= MAX_SILENCES:
                raise ConfigurationError(f"silence: there are {MAX_SILENCES} already; end others first")
            self._states.put_silence(made)
            self._states.flush()
        self._wake()
        return made

    def end_silence(self, id: str) -> Silence:
        """End a silence now.

        Raises:
            ConfigurationError: there is no such silence, or it has ended.
        """
        now = self._now()
        with self._states.lock:
            found = self._states.silences.get(id)
            if found is None or found.ends_at <= now:
                raise ConfigurationError(f"silence: there is none with the id {id!r}, or it has ended")
            ended = msgspec.structs.replace(found, starts_at=min(found.starts_at, now), ends_at=now)
            self._states.put_silence(ended)
            self._states.flush()
        self._wake()
        return ended

    def _wake(self) -> None:
        for each in self._notifiers:
            each.wake()

    def read(self) -> list[Series]:
        """Return the numbers of alerts and notifications; it is a `Source`."""
        with self._states.lock:
            numbers = _by_state(self._states.alerts.values())
        found = [Series(ALERTS, {(state,): float(number) for state, number in numbers.items()})]
        return [*found, self._counts.series()] if len(self._counts) else found


def _by_state(alerts: Iterable[Alert]) -> dict[str, int]:
    found: dict[str, int] = {"pending": 0, "firing": 0, "keeping": 0}
    for each in alerts:
        if each.state in found:
            found[each.state] += 1
    return found
