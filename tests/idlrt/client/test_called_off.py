"""Who has lost a race while it waited for a connection does not make its call any more."""

from __future__ import annotations

import threading
import time

from hand_written import GET, User, Users, UserServiceClient, user_service

from idlrt.core import BlockingDriver, drive
from idlrt.server import Server


class Slow(Users):
    def __init__(self) -> None:
        self.seen: list[int] = []
        self.is_here, self.may_go = threading.Event(), threading.Event()

    def get(self, id: int) -> User:
        self.seen.append(id)
        if id == 1:
            self.is_here.set()
            self.may_go.wait(20)
        return User(id=id)


def test_a_loser_in_the_line_for_a_connection_lets_it_be() -> None:
    users = Slow()
    with Server(user_service(users), workers=2) as server:
        server.start()
        with UserServiceClient.connect(server.address, max_connections=1, timeout=20) as client:
            holder = threading.Thread(target=client.get, args=(1,))
            holder.start()
            assert users.is_here.wait(20)

            async def quick() -> str:
                end = time.monotonic() + 20
                while not client._sender._queue:  # type: ignore[attr-defined]
                    assert time.monotonic() < end
                    time.sleep(0.001)
                return "quick"

            found = drive(BlockingDriver().race([lambda: client._start(GET, (2,), {}), quick]))
            assert found == "quick"
            users.may_go.set()
            holder.join(20)
            assert client.get(3).id == 3
    assert users.seen == [1, 3]
