"""Answers about alerts over RPC."""

from __future__ import annotations

from idlrt.collector.alerts import Alerts, AlertState, Change, Silence
from idlrt.collector.api import AlertChange, AlertInfo, SilenceInfo
from idlrt.errors import ConfigurationError

__all__ = ["AlertAnswers"]

_MAX_CHANGES = 1000


class AlertAnswers:
    """Answers of a collector about its alerts, and changes of its silences.

    Args:
        alerts: the alerts; `None`: the collector has none.
    """

    def __init__(self, alerts: Alerts | None) -> None:
        self._found = alerts

    @property
    def _alerts(self) -> Alerts:
        if self._found is None:
            raise ConfigurationError("this collector has no alerts; start it with --alerts FILE")
        return self._found

    def alerts(self) -> list[AlertInfo]:
        """Return the states of all alerts.

        Raises:
            ConfigurationError: the collector has no alerts.
        """
        return [_info(each) for each in self._alerts.states()]

    def history(self, limit: int) -> list[AlertChange]:
        """Return the last changes.

        Raises:
            ConfigurationError: the collector has no alerts, or the limit is out of range.
        """
        if not 1 <= limit <= _MAX_CHANGES:
            raise ConfigurationError(f"limit: must be between 1 and {_MAX_CHANGES}, got {limit}")
        return [_change(each) for each in self._alerts.history(limit)]

    def silences(self) -> list[SilenceInfo]:
        """Return all silences.

        Raises:
            ConfigurationError: the collector has no alerts.
        """
        return [_silence(each) for each in self._alerts.silences()]

    def add_silence(self, wanted: SilenceInfo) -> SilenceInfo:
        """Add a silence, and return it with its identifier.

        Raises:
            ConfigurationError: the collector has no alerts, or a part of the silence is invalid.
        """
        made = self._alerts.silence(
            wanted.matchers, wanted.ends_at, wanted.author, wanted.comment, starts_at=wanted.starts_at
        )
        return _silence(made)

    def end_silence(self, id: str) -> SilenceInfo:
        """End a silence.

        Raises:
            ConfigurationError: the collector has no alerts, or no such silence.
        """
        return _silence(self._alerts.end_silence(id))


def _info(state: AlertState) -> AlertInfo:
    return AlertInfo(
        rule=state.rule,
        condition=state.condition,
        state=state.state,
        labels=dict(state.labels),
        annotations=dict(state.annotations),
        fingerprint=state.fingerprint,
        since=state.since,
        started_at=state.started_at,
        value=state.value,
        value_text=state.value_text,
        threshold_text=state.threshold_text,
        silenced_by=list(state.silenced_by),
        reason=state.reason,
        error=state.error,
    )


def _change(change: Change) -> AlertChange:
    return AlertChange(
        at=change.at,
        rule=change.rule,
        labels=dict(change.labels),
        before=change.before,
        after=change.after,
        value_text=change.value_text,
        threshold_text=change.threshold_text,
        reason=change.reason,
    )


def _silence(silence: Silence) -> SilenceInfo:
    return SilenceInfo(
        id=silence.id,
        matchers=[str(each) for each in silence.matchers],
        starts_at=silence.starts_at,
        ends_at=silence.ends_at,
        author=silence.author,
        comment=silence.comment,
    )
