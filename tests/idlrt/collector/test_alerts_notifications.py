"""Notifications of alerts to a real HTTP server, on a virtual clock: groups, repeats, restarts, failures, silences."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alert_world import AlertWorld, Opened, calls
from free_ports import free_port
from webhook_receiver import WebhookReceiver

from idlrt.collector.alerts.notifications import MAX_ALERTS, Notification, body_of
from idlrt.collector.alerts.rules import Receiver
from idlrt.collector.alerts.states import Alert, fingerprint_of
from idlrt.errors import ConfigurationError

GOOD = calls(100)
BAD = calls(50, 50)


@pytest.fixture
def webhook() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as made:
        yield made


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    worlds: list[AlertWorld] = []

    def opened(rules: str) -> AlertWorld:
        worlds.append(AlertWorld(tmp_path, rules))
        return worlds[-1]

    yield opened
    for each in worlds:
        each.close()


def rules(webhook: WebhookReceiver, receiver: str = 'group_wait = "0 s"\ngroup_interval = "0 s"') -> str:
    return f"""
external_url = "https://monitor.example.com"
[receivers.chat]
webhook = "{webhook.url}"
headers = {{ Authorization = "Bearer hidden-token" }}
{receiver}
[alerts.Fails]
service = "shop"
when = "error rate > 10 % over 10 s"
by = ["method"]
severity = "page"
"""


def notify(world: AlertWorld) -> None:
    for each in world.alerts.notifiers:
        each.run()


def run(world: AlertWorld, seconds: float, *series: Any) -> None:
    """Let time pass, and notify after each evaluation."""
    for _ in range(round(seconds / 10)):
        world.run(10, *series)
        notify(world)


def test_the_form_is_that_of_alertmanager(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook))
    run(world, 60, BAD)
    (body,) = webhook.received
    (alert,) = body.pop("alerts")
    labels = {"alertname": "Fails", "service": "shop", "method": "Shop.find", "severity": "page"}
    summary = {"summary": "shop Shop.find: error rate > 10 % over 10 s (50 %, threshold > 10 %)"}
    assert body == {
        "version": "4",
        "groupKey": '{}:{alertname="Fails", service="shop"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "chat",
        "groupLabels": {"alertname": "Fails", "service": "shop"},
        "commonLabels": labels,
        "commonAnnotations": summary,
        "externalURL": "https://monitor.example.com",
    }
    assert alert == {
        "status": "firing",
        "labels": labels,
        "annotations": summary,
        "startsAt": "2027-01-16T00:00:13.500Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://monitor.example.com/alerts?rule=Fails",
        "fingerprint": fingerprint_of(labels),
    }
    assert webhook.headers["Authorization"] == "Bearer hidden-token"
    assert webhook.headers["Content-Type"] == "application/json"
    run(world, 20, GOOD)
    (ended,) = webhook.received[1]["alerts"]
    assert webhook.received[1]["status"] == ended["status"] == "resolved"
    assert ended["endsAt"] > ended["startsAt"] == alert["startsAt"]
    assert ended["fingerprint"] == alert["fingerprint"]
    run(world, 60, GOOD)
    assert len(webhook.received) == 2


def test_groups_wait_and_have_an_interval(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook, 'group_wait = "30 s"\ngroup_interval = "5 min"'))
    run(world, 20, calls(5, 5, method="Shop.find"))
    run(world, 10, calls(5, 5, method="Shop.find"), calls(5, 5, method="Shop.buy"))
    assert webhook.received == []
    both = (calls(5, 5, method="Shop.find"), calls(5, 5, method="Shop.buy"))
    run(world, 20, *both)
    assert webhook.statuses() == [("Fails", "firing")] * 2
    run(world, 60, *both, calls(5, 5, method="Shop.sell"))
    assert len(webhook.received) == 1
    run(world, 300, *both, calls(5, 5, method="Shop.sell"))
    assert [len(each["alerts"]) for each in webhook.received] == [2, 3]
    assert set(webhook.received[1]["commonLabels"]) == {"alertname", "service", "severity"}


def test_an_alert_that_ends_while_its_group_waits_is_not_told(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook, 'group_wait = "1 min"'))
    run(world, 20, BAD)
    run(world, 120, GOOD)
    assert world.changes("Fails") == ["firing", "resolved"]
    assert webhook.received == []


def test_a_notification_is_repeated(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook, 'group_wait = "0 s"\nrepeat_interval = "10 min"'))
    run(world, 580, BAD)
    assert len(webhook.received) == 1
    run(world, 60, BAD)
    assert webhook.statuses() == [("Fails", "firing")] * 2


def test_a_restart_repeats_nothing_and_forgets_nothing(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook))
    run(world, 30, BAD)
    world.restart(down=30)
    run(world, 60, BAD)
    assert webhook.statuses() == [("Fails", "firing")]
    # It ends while the collector is down.
    started_at = world.state("Fails").started_at
    world.restart(down=120)
    run(world, 60, GOOD)
    assert webhook.statuses() == [("Fails", "firing"), ("Fails", "resolved")]
    assert webhook.received[0]["alerts"][0]["startsAt"] == webhook.received[1]["alerts"][0]["startsAt"]
    assert started_at < world.at - 120
    world.restart()
    run(world, 60, GOOD)
    assert len(webhook.received) == 2


def test_the_time_of_a_condition_goes_on_across_a_restart(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook).replace("over 10 s", "over 10 s for 2 min"))
    run(world, 60, BAD)
    assert world.state("Fails").state == "pending"
    since = world.state("Fails").since
    world.restart(down=30)
    assert world.state("Fails").since == since
    run(world, 20, BAD)
    assert world.state("Fails").state == "pending"
    run(world, 30, BAD)
    assert world.state("Fails").state == "firing"
    # After a long outage it begins again.
    run(world, 60, GOOD)
    run(world, 60, BAD)
    world.restart(down=7200)
    assert world.state("Fails").state == "inactive"


def test_a_receiver_that_was_down_is_told_once(
    opened: Opened, webhook: WebhookReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    world = opened(rules(webhook))
    webhook.status = 503
    run(world, 60, BAD)
    # The pauses grow, and there is one notification at a time.
    assert 2 <= len(webhook.refused) <= 7
    world.restart()
    webhook.status = 500
    run(world, 30, BAD)
    webhook.status = 200
    run(world, 120, BAD)
    assert webhook.statuses() == [("Fails", "firing")]
    assert "cannot notify chat at http://127.0.0.1" in caplog.text
    assert "hidden" not in caplog.text


def test_what_ended_while_a_receiver_was_down_is_told(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook))
    webhook.status = 503
    run(world, 30, BAD)
    run(world, 30, GOOD)
    world.restart()
    webhook.status = 204
    run(world, 120, GOOD)
    assert webhook.statuses() == [("Fails", "resolved")]


def test_a_receiver_that_is_not_there(opened: Opened, tmp_path: Path) -> None:
    port = free_port()
    with WebhookReceiver(port) as first:
        text = rules(first)
    world = opened(text)
    run(world, 30, BAD)
    with WebhookReceiver(port) as second:
        run(world, 60, BAD)
        assert second.statuses() == [("Fails", "firing")]


def test_a_notification_that_is_rejected_is_dropped(
    opened: Opened, webhook: WebhookReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    world = opened(rules(webhook))
    webhook.status = 400
    run(world, 120, BAD)
    assert len(webhook.refused) == 1
    assert "rejected a notification: status 400" in caplog.text
    outcomes = {labels: value for each in world.alerts.read() for labels, value in each.values.items()}
    assert outcomes["chat", "rejected"] == 1
    assert outcomes["firing",] == 1


def test_receivers_get_what_matches(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook, 'group_wait = "0 s"\nwhere = ["method=~Shop[.]b.*"]\nsend_resolved = false'))
    run(world, 30, calls(5, 5, method="Shop.find"), calls(5, 5, method="Shop.buy"))
    run(world, 900, GOOD)
    assert [each["labels"]["method"] for body in webhook.received for each in body["alerts"]] == ["Shop.buy"]
    assert [each.state for each in world.alerts.states()] == ["inactive"]


def test_a_silence_holds_notifications_back(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook))
    made = world.alerts.silence(["alertname=Fails", "method=~Shop.*"], world.at + 3600, "anna", "moving")
    run(world, 60, BAD)
    assert webhook.received == []
    found = world.state("Fails")
    assert (found.state, found.silenced_by) == ("firing", (made.id,))
    world.restart()
    assert [each.id for each in world.alerts.silences()] == [made.id]
    run(world, 30, BAD)
    assert webhook.received == []
    world.alerts.end_silence(made.id)
    run(world, 20, BAD)
    assert webhook.statuses() == [("Fails", "firing")]
    # What ends while it is silenced is told afterwards.
    world.alerts.silence(["service=shop"], world.at + 100, "anna", "moving")
    run(world, 60, GOOD)
    assert world.changes("Fails") == ["firing", "resolved"]
    assert len(webhook.received) == 1
    run(world, 60, GOOD)
    assert webhook.statuses() == [("Fails", "firing"), ("Fails", "resolved")]
    assert [each.id for each in world.alerts.silences()][-1] == made.id


def test_silences_that_match_other_labels_hold_nothing_back(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook))
    world.alerts.silence(["alertname=Fails", "method=Shop.buy"], world.at + 3600, "anna", "moving")
    run(world, 30, BAD)
    assert webhook.statuses() == [("Fails", "firing")]


@pytest.mark.parametrize(
    ("matchers", "seconds", "author", "comment", "message"),
    [
        (["service"], 60, "a", "b", "expected NAME=VALUE"),
        ([], 60, "a", "b", "needs 1 to 20 matchers, got 0"),
        (["service!=x"], 60, "a", "b", "would match alerts without labels"),
        (["service=x"], -1, "a", "b", "the end must be after the start"),
        (["service=x"], 400 * 86400, "a", "b", "at most 366 days later"),
        (["service=x"], 60, " ", "b", "author: must have 1 to 1000 characters"),
        (["service=x"], 60, "a", "", "comment: must have 1 to 1000 characters, got 0"),
    ],
)
def test_invalid_silences(
    opened: Opened, matchers: list[str], seconds: float, author: str, comment: str, message: str
) -> None:
    world = opened("")
    with pytest.raises(ConfigurationError, match=message):
        world.alerts.silence(matchers, world.at + seconds, author, comment)
    with pytest.raises(ConfigurationError, match="there is none with the id 'x'"):
        world.alerts.end_silence("x")


def test_a_rule_that_is_removed_ends_its_alerts(opened: Opened, webhook: WebhookReceiver) -> None:
    world = opened(rules(webhook))
    run(world, 30, BAD)
    world.rules = rules(webhook).replace("[alerts.Fails]", "[alerts.Other]")
    world.restart()
    run(world, 30, BAD)
    assert sorted(webhook.statuses()) == [("Fails", "firing"), ("Fails", "resolved"), ("Other", "firing")]
    assert "the rule was removed or changed" in {each.reason for each in world.alerts.history()}


def test_files_are_reloaded(tmp_path: Path, opened: Opened, webhook: WebhookReceiver) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text(rules(webhook))
    world = opened(str(path))
    run(world, 30, BAD)
    path.write_text(rules(webhook) + '[alerts.New]\nwhen = "errors > 0"\nburn = "x"')
    with pytest.raises(ConfigurationError, match="also has when"):
        world.alerts.reload()
    path.write_text(rules(webhook) + '[alerts.New]\nwhen = "errors > 0"')
    world.alerts.reload()
    run(world, 30, BAD)
    assert webhook.statuses() == [("Fails", "firing"), ("New", "firing")]


def test_states_that_cannot_be_read(opened: Opened, tmp_path: Path) -> None:
    world = opened('[alerts.A]\nwhen = "errors > 0"')
    world.alerts.close()
    (tmp_path / "alerts.db").write_text("no database at all, but long enough to have a header" * 10)
    with pytest.raises(ConfigurationError, match=r"cannot open the states of alerts in .*alerts.db': "):
        world.restart()


def test_values_that_cannot_be_read(opened: Opened) -> None:
    world = opened('[alerts.A]\nwhen = "errors > 0"')
    world.run(30, BAD)
    assert world.state("A").state == "firing"
    world.store.close()
    world.at += 10
    world.alerts.evaluate()
    found = world.state("A")
    assert found.state == "firing"
    assert "the store is closed" in found.error


def test_changes_are_logged(opened: Opened, webhook: WebhookReceiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idlrt.collector")
    world = opened(rules(webhook))
    run(world, 30, BAD)
    run(world, 30, GOOD)
    logged = [each.getMessage() for each in caplog.records if each.getMessage().startswith("alert ")]
    assert logged == [
        "alert Fails is firing: shop Shop.find: error rate > 10 % over 10 s (50 %, threshold > 10 %)",
        "alert Fails is resolved: shop Shop.find: error rate > 10 % over 10 s (0 %, threshold > 10 %)",
    ]


def test_large_notifications_are_truncated() -> None:
    receiver = Receiver(name="chat", kind="webhook", url="http://127.0.0.1:1")
    alerts = [
        Alert(fingerprint=str(at), rule="A", key=(), labels={"n": str(at)}, state="firing", since=1.0, started_at=1.0)
        for at in range(MAX_ALERTS + 3)
    ]
    made = Notification(name="x", group="{}:{}", labels={}, firing=alerts, resolved=[])
    body = body_of(receiver, made, "", 5.0)
    assert body.count(b'"fingerprint"') == MAX_ALERTS
    assert b'"truncatedAlerts":3' in body
