"""Whatever peers send, logs stay short: few records of a kind, each on one line, with a count of what was left out."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from by_hand import KINDS, Raw, serving
from eventually import TIMEOUT
from hand_written import GET, PING, Users, UserServiceClient, connect_raw, read_to_end

from idlrt.core.logs import ALWAYS, BURST, LOG_LIMIT, LONGEST, WINDOW, LogLimit
from idlrt.errors import ApplicationError
from idlrt.server import allow_addresses, require_token
from idlrt.spec import VOID, Method

RUNTIME = Path(__file__).parents[2] / "runtime/idlrt"
MANY = 10 * BURST


def named(name: str) -> Method[..., Any]:
    """Return a method that no server implements."""
    return Method(name, attribute="missing", result=VOID)


def suppressed(caplog: pytest.LogCaptureFixture) -> int:
    """Return the number of suppressed records that the log reports."""
    LOG_LIMIT.report()
    return sum(int(count) for count in re.findall(r"suppressed (\d+) similar record", caplog.text))


# Servers.


@pytest.mark.parametrize("kind", KINDS)
def test_calls_that_are_refused_are_few_lines_and_a_count(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idlrt.server")
    with serving(Users(), kind) as server, Raw(server) as raw:
        for _ in range(MANY):
            raw.call(named("nobody_has_this"))
        assert all(isinstance(each, ApplicationError) for each in raw.values(MANY))
    refused = [record for record in caplog.records if "nobody_has_this" in record.getMessage()]
    assert len(refused) == BURST
    assert not any(record.exc_info for record in refused)
    assert suppressed(caplog) == MANY - BURST


@pytest.mark.parametrize("kind", KINDS)
def test_a_bug_of_a_handler_is_logged_with_its_traceback_a_few_times(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Users):
        def get(self, id: int) -> Any:
            if id % 2:
                raise KeyError("one place")
            raise KeyError("another place")

    with serving(Failing(), kind) as server, Raw(server) as raw:
        for number in range(MANY):
            raw.call(GET, number)
        raw.values(MANY)
    for place in ("one place", "another place"):
        found = [record for record in caplog.records if record.exc_info and place in str(record.exc_info[1])]
        assert len(found) == BURST
    assert suppressed(caplog) == MANY - 2 * BURST


def test_bytes_that_are_no_message_are_few_lines_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idlrt")
    with serving(Users()) as server:
        for _ in range(MANY):
            with connect_raw(server.port) as raw:
                raw.settimeout(TIMEOUT)
                raw.sendall(b"\xff" * 100)
                raw.shutdown(socket.SHUT_WR)
                read_to_end(raw)
    about = [record for record in caplog.records if "closing connection from" in record.getMessage()]
    assert len(about) == BURST
    assert not any(record.exc_info for record in caplog.records)
    assert suppressed(caplog) == MANY - BURST


@pytest.mark.parametrize("filter", [allow_addresses("10.0.0.0/8"), require_token(["good"])], ids=["address", "token"])
def test_clients_that_may_not_call_are_few_lines(filter: Any, caplog: pytest.LogCaptureFixture) -> None:
    with serving(Users(), filters=[filter]) as server, Raw(server) as raw:
        for _ in range(MANY):
            raw.call(PING)
        raw.values(MANY)
    assert len(caplog.records) == BURST
    assert suppressed(caplog) == MANY - BURST


@pytest.mark.parametrize(
    "name", ["line\n2026-01-01 ERROR all is lost", "\x1b[31mred", "right \u202e left", "zero\u200bwidth", "x" * 100_000]
)
def test_text_of_a_peer_stays_on_one_line_and_is_bounded(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "idlrt.server")
    with serving(Users()) as server, Raw(server) as raw:
        raw.call(named(name))
        raw.values()
    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert len(record.getMessage()) < 2 * LONGEST


def test_the_text_of_an_exception_is_escaped_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Users):
        def get(self, id: int) -> Any:
            raise ValueError("\x1b[2J" + "x" * 100_000)

    with serving(Failing()) as server, Raw(server) as raw:
        raw.call(GET, 1)
        raw.values()
    assert "ValueError: \\x1b[2Jxxx" in caplog.text
    assert len(caplog.text) < 20 * LONGEST


def test_records_hold_no_objects_of_the_program(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "idlrt")
    with serving(Users()) as server, Raw(server) as raw:
        raw.call(GET, 0)
        raw.values()
    served = next(record for record in caplog.records if record.msg == "serving %s on %s")
    assert served.args == ("UserService", server.address)
    for record in caplog.records:
        assert isinstance(record.args, tuple)
        assert all(isinstance(each, str | int | float | None) for each in record.args)


# Clients.


def test_calls_that_fail_are_few_lines_of_a_client(caplog: pytest.LogCaptureFixture) -> None:
    with connect_refused() as address, UserServiceClient.connect(address, policy={"fault": "failsafe"}) as client:
        for _ in range(MANY):
            client.ping()
    found = [record for record in caplog.records if "ignoring failure of" in record.getMessage()]
    assert len(found) == BURST
    assert suppressed(caplog) >= MANY - BURST


class connect_refused:
    """Address of a port without a listener."""

    def __enter__(self) -> str:
        self._taken = socket.socket()
        self._taken.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{self._taken.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._taken.close()


# The filter.


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    made = logging.getLogger(f"tests.{request.node.name}")
    limit = LogLimit(clock)
    made.addFilter(limit)
    yield made
    made.removeFilter(limit)


def test_what_was_left_out_is_told_with_the_next_of_its_kind(
    log: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(BURST + 7):
        log.warning("100 %% of %s", number)
    clock.time += WINDOW
    log.warning("100 %% of %s", "them")
    log.warning("100 %% of %s", "them")
    assert caplog.messages[BURST:] == ["100 % of them (7 similar records suppressed)", "100 % of them"]


def test_what_was_left_out_is_told_when_something_else_is_logged(
    log: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(BURST + 3):
        log.error("100 % of one")
    clock.time += WINDOW
    log.warning("another")
    assert caplog.messages[BURST:] == [f"suppressed 3 similar records within {WINDOW:g} s: 100 % of one", "another"]
    assert caplog.records[BURST].levelno == logging.ERROR


def test_a_count_goes_with_a_message_that_has_no_values(
    log: logging.Logger, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(BURST + 1):
        log.warning("100 % of one")
    clock.time += WINDOW
    log.warning("100 % of one")
    assert caplog.messages[-1] == "100 % of one (1 similar record suppressed)"


def test_debugging_and_the_life_of_a_server_are_not_limited(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, log.name)
    for _ in range(MANY):
        log.debug("one")
        log.info("another", extra=ALWAYS)
    assert len(caplog.records) == 2 * MANY


def test_kinds_are_bounded(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(5000):
        log.warning("kind", extra={"kind": number})
    # The first one has made room for others by now, and begins again.
    for _ in range(BURST):
        log.warning("kind", extra={"kind": 0})
    assert [getattr(record, "kind", None) for record in caplog.records].count(0) == BURST + 1


def test_a_value_that_cannot_be_shown_costs_no_record(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    log.warning("%s and %d", Odd(), 7)
    log.warning("%(what)s", {"what": "a\nb"})
    assert [re.sub("<.*Odd", "<Odd", each) for each in caplog.messages] == ["<Odd: RuntimeError> and 7", "a\\nb"]


def test_loggers_of_the_runtime_have_the_filter() -> None:
    # That the runtime has no others is held by tests/architecture/test_logging.py.
    for name in ("idlrt.server", "idlrt.client", "idlrt.net", "idlrt.registry"):
        assert LOG_LIMIT in logging.getLogger(name).filters


def test_fields_are_cleaned_as_arguments_are(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    log.warning("kept", extra={"peer": "a\nb", "count": 3, "value": object(), "long": "x" * 5000})
    (record,) = caplog.records
    fields: Any = record
    assert (fields.peer, fields.count) == ("a\\nb", 3)
    assert type(fields.value) is str
    assert len(fields.long) < 1100
