"""Alerts of the collector: rules on what programs report, states that survive restarts, notifications and silences.

- `conditions`: the language of conditions; `rules`, `rules_file`: rules and receivers, and the file they are in.
- `windows`: figures of a window of time; `evaluation`: decisions about them.
- `states`: states of alerts; `state_file`: where they are kept; `view`: how they are shown.
- `matchers`, `silences`: which notifications are held back.
- `notifications`: what is told, and when; `notifier`: a thread for each receiver.
- `alerts`: all of it.
"""

from __future__ import annotations

from idlrt.collector.alerts.alerts import Alerts
from idlrt.collector.alerts.conditions import parse_duration
from idlrt.collector.alerts.rules import AlertRule, Receiver, RuleSet
from idlrt.collector.alerts.rules_file import parse_rules, read_rules
from idlrt.collector.alerts.silences import Silence
from idlrt.collector.alerts.states import Change
from idlrt.collector.alerts.view import AlertState

__all__ = [
    "AlertRule",
    "AlertState",
    "Alerts",
    "Change",
    "Receiver",
    "RuleSet",
    "Silence",
    "parse_duration",
    "parse_rules",
    "read_rules",
]
