"""How calls end, in words that no protocol owns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from eventually import eventually
from hand_written import NotFound, Users, UserServiceClient, user_service

from idlrt import Server, current_call
from idlrt.core import Evidence, Outcome, ServerCall, evidence_of, outcome_of
from idlrt.errors import (
    ApplicationCode,
    ApplicationError,
    CircuitOpen,
    ConfigurationError,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    LocalProtocolError,
    NoInstance,
    NotSent,
    Overloaded,
    RemoteProtocolError,
)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, Outcome.OK),
        (NotFound(id=1), Outcome.DECLARED_ERROR),
        (Overloaded("x"), Outcome.RESOURCE_EXHAUSTED),
        (DeadlineExceeded("x"), Outcome.DEADLINE_EXCEEDED),
        (CircuitOpen("x"), Outcome.UNAVAILABLE),
        (NoInstance("x"), Outcome.UNAVAILABLE),
        (ConnectFailed("x"), Outcome.UNAVAILABLE),
        (ConnectionLost("x"), Outcome.UNAVAILABLE),
        (LocalProtocolError("x"), Outcome.INVALID_ARGUMENT),
        (RemoteProtocolError("x"), Outcome.INVALID_ARGUMENT),
        (asyncio.CancelledError(), Outcome.CANCELLED),
        (ValueError("x"), Outcome.INTERNAL),
        (ApplicationError("x", ApplicationCode.UNKNOWN_METHOD), Outcome.UNIMPLEMENTED),
        (ApplicationError("x", ApplicationCode.LOADSHEDDING), Outcome.RESOURCE_EXHAUSTED),
        (ApplicationError("x", ApplicationCode.TIMEOUT), Outcome.DEADLINE_EXCEEDED),
        (ApplicationError("x", ApplicationCode.PERMISSION_DENIED), Outcome.PERMISSION_DENIED),
        (ApplicationError("x", ApplicationCode.UNAUTHENTICATED), Outcome.UNAUTHENTICATED),
        (ApplicationError("x", 4711), Outcome.UNKNOWN),
    ],
    ids=repr,
)
def test_each_error_has_an_outcome(error: BaseException | None, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


@pytest.mark.parametrize(
    ("error", "evidence"),
    [
        (None, Evidence.ANSWERED),
        (NotFound(id=1), Evidence.ANSWERED),
        (ApplicationError("x", ApplicationCode.UNKNOWN_METHOD), Evidence.ANSWERED),
        (ApplicationError("x", ApplicationCode.LOADSHEDDING), Evidence.ANSWERED),
        (ApplicationError("x", 4711), Evidence.ANSWERED),
        (ApplicationError("x", ApplicationCode.INTERNAL_ERROR), Evidence.BROKEN),
        (RemoteProtocolError("x"), Evidence.UNREADABLE),
        (ConnectFailed("x"), Evidence.UNREACHABLE),
        (ConnectionLost("x"), Evidence.LOST),
        (DeadlineExceeded("x"), Evidence.TIMED_OUT),
        (Overloaded("x"), Evidence.REJECTED),
        (CircuitOpen("x"), Evidence.NOT_ASKED),
        (NoInstance("x"), Evidence.NOT_ASKED),
        (NotSent("x"), Evidence.NOTHING),
        (LocalProtocolError("x"), Evidence.NOTHING),
        (ConfigurationError("x"), Evidence.NOTHING),
        (ValueError("x"), Evidence.RAISED),
        (asyncio.CancelledError(), Evidence.NOTHING),
        (KeyboardInterrupt(), Evidence.NOTHING),
    ],
    ids=repr,
)
def test_each_error_says_something_about_the_server_or_nothing(error: BaseException | None, evidence: Evidence) -> None:
    assert evidence_of(error) is evidence
    assert evidence.is_failure is isinstance(error, ConnectFailed | ConnectionLost | DeadlineExceeded)


def test_every_code_but_unknown_has_an_outcome() -> None:
    unknown = [code for code in ApplicationCode if outcome_of(ApplicationError("", code)) is Outcome.UNKNOWN]
    assert unknown == [ApplicationCode.UNKNOWN]


def test_a_server_notes_how_each_call_ended() -> None:
    calls: list[ServerCall] = []

    class Noting(Users):
        def get(self, id: int) -> Any:
            call = current_call()
            assert call is not None
            assert call.outcome is None
            calls.append(call)
            return super().get(id)

    with Server(user_service(Noting())).start() as server:
        users = UserServiceClient.connect(server.address)
        assert users.get(5).id == 5
        with pytest.raises(NotFound):
            users.get(-1)
        with pytest.raises(ApplicationError):
            users.get(0)
        with pytest.raises(ApplicationError, match="missing result"):
            users.get(404)
        eventually(lambda: all(call.outcome is not None for call in calls))
        users.close()
    assert [call.outcome for call in calls] == [Outcome.OK, Outcome.DECLARED_ERROR, Outcome.INTERNAL, Outcome.INTERNAL]
