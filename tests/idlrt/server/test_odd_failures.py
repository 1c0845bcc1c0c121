"""Failures of handlers beyond the usual ones: each costs one call, which is answered, and the server goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from by_hand import KINDS, Raw, serving
from hand_written import GET, Users

from idlrt.errors import ApplicationCode, ApplicationError

FAILURES: dict[str, Callable[[], BaseException]] = {
    "the end of the process": lambda: SystemExit(3),
    "an interrupt": KeyboardInterrupt,
    "the end of a generator": GeneratorExit,
    "the end of an iterator": StopIteration,
    "being cancelled": asyncio.CancelledError,
    "too little memory": MemoryError,
}

REFUSALS: dict[str, tuple[Any, Any]] = {
    "a code that is text": ("no", "PERMISSION_DENIED"),
    "a code that is nothing": ("no", None),
    "a code over 32 bits": ("no", 1 << 40),
    "a message that is no text": (5, 5),
    "a message that is nothing": (None, 5),
    "a message that is no Unicode": ("\ud800", 5),
    "a message over every limit": ("x" * 20_000_000, 5),
}


class Failing(Users):
    def __init__(self, make: Callable[[], BaseException]) -> None:
        super().__init__()
        self.make = make

    def get(self, id: int) -> Any:
        if id == 1:
            raise self.make()
        return super().get(id)


def answer_to_failure(make: Callable[[], BaseException], kind: str) -> Any:
    """Return the response to a failing call. Later calls and those on another connection are answered too."""
    with serving(Failing(make), kind) as server, Raw(server) as raw, Raw(server) as other:
        for each in (raw, other):
            # If it comes at all it comes at once.
            each.socket.settimeout(5)
        raw.call(GET, 1)
        raw.call(GET, 2)
        failed, found = raw.values(2)
        assert found.id == 2
        other.call(GET, 3)
        assert other.values()[0].id == 3
        return failed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("failure", FAILURES)
def test_whatever_a_handler_raises_costs_one_call(failure: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    failed = answer_to_failure(FAILURES[failure], kind)

    assert failed.code is ApplicationCode.INTERNAL_ERROR
    assert [record.getMessage() for record in caplog.records] == ["UserService.get failed"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_an_unencodable_rejection_is_still_an_application_error(refusal: str, kind: str) -> None:
    failed = answer_to_failure(lambda: ApplicationError(*REFUSALS[refusal]), kind)

    assert isinstance(failed, ApplicationError)
