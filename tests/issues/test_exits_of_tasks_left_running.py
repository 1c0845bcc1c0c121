"""`sys.exit()` in a task that an `async` handler has left running ends that task, not the event loop of the others."""

from __future__ import annotations

import asyncio
import sys

import pytest
from eventually import eventually
from hand_written import User, Users, UserServiceClient, user_service

from idlrt import Server


class Leaving(Users):
    """`get` leaves a task behind, which exits."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[asyncio.Task[None]] = []

    async def get(self, id: int) -> User:
        if id == 1:
            self.left.append(asyncio.get_running_loop().create_task(_leave()))
        return User(id=id)


async def _leave() -> None:
    sys.exit(3)


def test_calls_that_come_later_are_answered(caplog: pytest.LogCaptureFixture) -> None:
    users = Leaving()
    with Server(user_service(users)) as server, UserServiceClient.connect(server.start().address) as client:
        for number in (1, 2, 1, 3):
            assert client.get(number).id == number
        eventually(lambda: all(task.done() for task in users.left))
        assert client.get(4).id == 4
    assert [type(task.exception()) for task in users.left] == [SystemExit] * 2
    assert "background task of an async handler failed" in caplog.text
