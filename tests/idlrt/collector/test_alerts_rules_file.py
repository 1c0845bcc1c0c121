"""Files of alerts: what they may have, and errors with their line, rule and key, all at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import run_idlrt

from idlrt.collector.alerts import parse_duration, parse_rules, read_rules
from idlrt.collector.alerts.conditions import Absence, Comparison, parse_condition
from idlrt.collector.alerts.matchers import Matcher
from idlrt.collector.alerts.rules import Burn
from idlrt.errors import ConfigurationError

GOOD = """
external_url = "https://monitor.example.com/"

[receivers.chat]
webhook = "http://127.0.0.1:9095/secret"
headers = { Authorization = "Bearer x" }
where = ["severity=page", "team!=b", 'service=~"shop|cart"']
group_by = ["alertname"]
group_wait = "0 s"
group_interval = "1 min"
repeat_interval = "1 h"
send_resolved = false

[receivers.manager]
alertmanager = "http://127.0.0.1:9093/"

[alerts.CheckoutFails]
service = "checkout"
method = "Checkout.pay"
where = { host = "h1" }
when = "error rate > 1 % over 5 min for 2 min"
by = ["zone"]
min_calls = 50
severity = "page"
labels = { team = "a" }
keep_firing_for = "10 min"
annotations.summary = "{method} in {zone}: {value}"

[alerts.Budget]
burn = "99.9 %"
latency = "300 ms"

[alerts.Gone]
service = "checkout"
when = "absent for 2 min"
"""


def test_a_file_has_rules_and_receivers() -> None:
    found = parse_rules(GOOD)
    assert found.external_url == "https://monitor.example.com"
    chat, manager = found.receivers
    assert (chat.name, chat.kind, chat.group_wait_s, chat.group_interval_s, chat.repeat_s) == (
        "chat",
        "webhook",
        0,
        60,
        3600,
    )
    assert chat.where == (
        Matcher("severity", "page"),
        Matcher("team", "b", is_equal=False),
        Matcher("service", "shop|cart", is_regex=True),
    )
    assert (manager.url, manager.group_by, manager.repeat_s) == ("http://127.0.0.1:9093/api/v2/alerts", (), 60)
    first, budget, gone = found.rules
    assert first.where == {"host": "h1", "service": "checkout", "method": "Checkout.pay"}
    assert (first.by, first.min_calls, first.for_s, first.keep_firing_s) == (("zone",), 50, 120, 600)
    assert first.labels == {"severity": "page", "team": "a"}
    assert isinstance(budget.condition, Burn)
    assert (budget.condition.budget, budget.condition.latency_s, budget.fewest, budget.labels) == (0.001, 0.3, 1000, {})
    assert gone.condition == Absence(text="absent for 2 min", for_s=120)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("error rate > 1 % for 1 min", ("error rate", ">", 0.01, "share", 0, 60, 60)),
        ("error  rate>1%", ("error rate", ">", 0.01, "share", 0, 60, 0)),
        ("p99 > 200 ms for 2 min", ("percentile", ">", 0.2, "duration", 0, 60, 120)),
        ("p99.9 >= 1.5 s over 5 min", ("percentile", ">=", 1.5, "duration", 0, 300, 0)),
        ("max <= 20 µs", ("max", "<=", 2e-05, "duration", 0, 60, 0)),
        ("calls < 10/s", ("calls", "<", 10, "rate", 0, 60, 0)),
        ("calls < 600 / min", ("calls", "<", 10, "rate", 0, 60, 0)),
        ("errors > 1_000 for 1 h over 10 min", ("errors", ">", 1000, "number", 0, 600, 3600)),
        ("calls < 50 % of last week", ("calls", "<", 0.5, "rate", 604800, 600, 0)),
        ("p99 > 150 % of yesterday over 1 h", ("percentile", ">", 1.5, "duration", 86400, 3600, 0)),
        ("rpc_breaker_state > 1", ("value", ">", 1, "number", 0, 60, 0)),
        ("host_memory_bytes > 2 GiB", ("value", ">", 2 * 1024**3, "number", 0, 60, 0)),
        ("host_cpu > 90 %", ("value", ">", 0.9, "share", 0, 60, 0)),
    ],
)
def test_conditions(when: str, expected: tuple[object, ...]) -> None:
    found = parse_condition(when)
    assert isinstance(found, Comparison)
    measured = (found.measure, found.operator, pytest.approx(found.threshold), found.quantity)
    assert (*measured, found.earlier_s, found.over_s, found.for_s) == expected
    assert found.text == " ".join(when.split())


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("eror rate > 1 %", "unknown figure 'eror rate'; did you mean 'error rate'?"),
        ("call > 10/s", "unknown figure 'call'; did you mean 'calls'?"),
        (
            "two words > 1",
            r"unknown figure 'two words' (known: error rate, errors, calls, p99, max, average, or the name",
        ),
        ("error rate 1 %", "expected a comparison with one of >, >=, < and <=, such as"),
        ("error rate == 1 %", "expected a comparison with one of"),
        ("error rate > 1", "error rate: the threshold must be a percentage such as 1 %, got '1'"),
        ("error rate > 101 %", "the threshold must be a percentage"),
        ("p99 > 200", "the threshold must be a duration such as 200 ms, got '200'"),
        ("p0 > 200 ms", "a percentile must be above p0"),
        (
            "calls > 10/fortnight",
            "unknown unit '/fortnight' in '10/fortnight': expected a number, or a rate such as 10/s",
        ),
        ("calls >", "expected a number, or a rate such as 10/s after the operator, got ''"),
        ("calls < 50 % of last weak", "cannot compare with 'last weak'; did you mean 'last week'?"),
        ("calls < 50 of last week", "expected a percentage of last week, such as 50 %, got '50'"),
        ("calls < 5/s for 1 fortnight", "unknown unit of time 'fortnight' in '1 fortnight' (known: ms, s, min, h, d)"),
        ("calls < 5/s for ever", "expected a duration such as 30 s, 5 min or 2 h, got 'ever'"),
        ("calls < 5/s for 1 min for 2 min", "`for` is there twice"),
        ("calls < 5/s over 1 s", "`over` must be at least 10 s, which is the length of a cell, got 1 s"),
        ("calls < 5/s for 40 d", "a duration must be above 0 and at most 31 days, got '40 d'"),
        ("absent", "`absent` needs the time without a report, as in `absent for 2 min`"),
        ("abscent for 1 min", "unknown condition 'abscent'; did you mean 'absent'?"),
        ("p99 of > 1 s", "unknown figure 'p99 of'"),
        ("p99 of a b > 1 s", "expected the name of a metric after `of`, got 'a b'"),
    ],
)
def test_conditions_that_cannot_be_read(when: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        parse_condition(when)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30 s", 30), ("5min", 300), ("2 h", 7200), ("1 d", 86400), ("250 ms", 0.25)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


BAD = """
external_url = "monitor"
[receivers.chat]
webhook = "http://user:hidden@127.0.0.1:9095/hidden"
where = ["severity"]
group_wait = "1 x"
[receivers.manager]
alertmanager = "http://127.0.0.1:9093"
group_by = ["alertname"]
[receivers.none]
[receivers.both]
webhook = "http://127.0.0.1:1"
alertmanager = "http://127.0.0.1:1"
[alerts.First]
serivce = "shop"
when = "error rate > 1"
min_calls = -1
severity = 5
[alerts.Second]
when = "calls < 5/s"
burn = "99.9 %"
[alerts.Third]
service = "shop"
by = ["service", "method", "method"]
labels = { severity = "page", service = "x" }
[alerts.Fourth]
when = "calls < 5/s"
annotations.summary = "{valeu} {value:.2f} {"
[alerts.Fifth]
burn = "100 %"
severity = "page"
[alerts.Sixth]
when = "absent for 2 min"
[alerts.Seventh]
when = "absent for 2 min"
method = "Shop.find"
min_calls = 5
latency = "1 s"
[alerts.Eighth]
when = "errors of gc_pause_seconds > 1"
[alerts."a-b"]
[rules.x]
"""


def test_all_problems_are_told_with_their_lines() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_rules(BAD, "alerts.toml")
    first, *lines = str(caught.value).splitlines()
    assert first == f"alerts.toml: {len(lines)} problems:"
    found = {line.strip() for line in lines}
    for each in (
        "line 2, external_url: expected a URL such as https://monitor.example.com",
        "line 4, receivers.chat.webhook: expected a URL such as http://host:port/path, without user and password; ...",
        "line 5, receivers.chat.where[0]: expected NAME=VALUE, NAME!=VALUE, NAME=~REGEX or NAME!~REGEX, got 'severity'",
        "line 6, receivers.chat.group_wait: unknown unit of time 'x' in '1 x' (known: ms, s, min, h, d)",
        "line 9, receivers.manager.group_by: is up to Alertmanager; set it there",
        "line 10, receivers.none: needs one of webhook and alertmanager, the URL of the receiver",
        "line 11, receivers.both: needs one of webhook and alertmanager, the URL of the receiver",
        "line 15, alerts.First.serivce: unknown key; did you mean 'service'?",
        "line 16, alerts.First.when: error rate: the threshold must be a percentage such as 1 %, got '1'",
        "line 17, alerts.First.min_calls: must be at least 0, got -1",
        "line 18, alerts.First.severity: expected a string, got 5",
        "line 21, alerts.Second.burn: also has when; remove one of them",
        'line 22, alerts.Third: needs a condition: when = "error rate > 1 %", or burn = "99.9 %"',
        "line 24, alerts.Third.by: service has one value already, 'shop'; remove it",
        "line 24, alerts.Third.by: has a name twice",
        "line 25, alerts.Third.labels.severity: is set by the collector; use the key severity",
        "line 25, alerts.Third.labels.service: is also in where or by; choose another name",
        "line 28, alerts.Fourth.annotations.summary: has a single brace; write {{ or }} for a brace",
        "line 30, alerts.Fifth.burn: expected an objective between 50 % and 99.9999 %, such as \"99.9 %\", got '100 %'",
        'line 32, alerts.Sixth: `absent` needs a service, or by = ["service"]',
        "line 34, alerts.Seventh.where: `absent` is about programs, which have no method (known: service, ...",
        "line 37, alerts.Seventh.min_calls: has no meaning for `absent`; remove it",
        "line 38, alerts.Seventh.latency: is for burn rates; set burn, too",
        "line 40, alerts.Eighth.when: the outcomes of gc_pause_seconds are not known; use a metric of calls, ...",
        "line 41, alerts.a-b: a name must consist of letters, digits and '_', and not begin with a digit",
        "line 42, rules: unknown table (known: alerts, receivers, external_url)",
    ):
        start = each.removesuffix("...")
        assert any(line == each or (start != each and line.startswith(start)) for line in found), each
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[alerts", "cannot read the alerts alerts: invalid TOML:"),
        ("alerts = 1", "alerts: expected tables such as [alerts.NAME], got 1"),
        ("[alerts]\nA = 1", "alerts: line 2, alerts.A: expected a table, got 1"),
        (
            '[alerts.A]\nwhen = "calls < 5/s"\nannotations.x = "{vale}"',
            "unknown placeholder 'vale'; did you mean 'value'?",
        ),
        (
            '[alerts.A]\nwhen = "calls < 5/s"\nannotations.x = "{value:>3}"',
            "expected a plain placeholder such as {value}",
        ),
        ('[alerts.A]\nburn = "99 %"\nseverity = "page"', "burn rates are a page or a ticket, by their window"),
        (
            '[alerts.A]\nwhen = "calls < 5/s"\nservice = "a"\nwhere = { service = "b" }',
            "also set as service; remove one",
        ),
        (
            '[alerts.A]\nwhen = "calls < 5/s"\nby = ["a-b"]',
            "invalid name 'a-b': must consist of letters, digits and '_'",
        ),
        ('[receivers.A]\nwebhook = "http://a"\nwhere = ["a=~("]', "invalid regular expression '('"),
    ],
)
def test_single_problems(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        parse_rules(text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read the alerts .*none.toml: No such file"):
        read_rules(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"cannot read the alerts .*bytes.toml: "):
        read_rules(tmp_path / "bytes.toml")


def test_the_command_checks_a_file(tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    path.write_text(GOOD)
    assert run_idlrt(["monitor", "check", str(path)]).stdout == f"{path}: OK (3 alerts, 2 receivers)\n"
    path.write_text(BAD)
    done = run_idlrt(["monitor", "check", str(path)], code=2)
    assert "line 15, alerts.First.serivce: unknown key; did you mean 'service'?" in done.stderr


@pytest.mark.parametrize(
    ("text", "labels", "matches"),
    [
        ("a=x", {"a": "x"}, True),
        ('a="x y"', {"a": "x y"}, True),
        ("a=x", {}, False),
        ("a!=x", {}, True),
        ("a=~x.*", {"a": "xyz"}, True),
        ("a=~y", {"a": "xyz"}, False),
        ("a!~x.*", {"a": "xyz"}, False),
        ("a=", {}, True),
    ],
)
def test_matchers(text: str, labels: dict[str, str], matches: bool) -> None:
    found = Matcher.parse(text)
    assert found.matches(labels) == matches
    assert Matcher.parse(str(found)) == found
