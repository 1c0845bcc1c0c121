"""A call that lost a race while it waited for a connection is not sent."""

from __future__ import annotations

import threading

from eventually import eventually
from hand_written import User, Users, UserServiceClient, user_service

from idlrt.client import client_stats
from idlrt.core import BlockingDriver, drive
from idlrt.server import Server


class Slow(Users):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []
        self.is_here, self.may_go = threading.Event(), threading.Event()

    def get(self, id: int) -> User:
        self.seen.append(id)
        if id == 1:
            self.is_here.set()
            self.may_go.wait(60)
        return User(id=id)


def test_a_superseded_call_leaves_the_queue_for_a_connection() -> None:
    users = Slow()
    with Server(user_service(users), workers=2) as server:
        server.start()
        with UserServiceClient.connect(server.address, max_connections=1, timeout=60) as client:
            holder = threading.Thread(target=client.get, args=(1,))
            holder.start()
            assert users.is_here.wait(60)

            async def waiting() -> User:
                return client.get(2)

            async def quick() -> str:
                eventually(lambda: client_stats(client).waiting, "the other one waits for a connection")
                return "quick"

            assert drive(BlockingDriver().race([waiting, quick])) == "quick"
            users.may_go.set()
            holder.join()
            assert client.get(3).id == 3
    assert users.seen == [1, 3]
