"""Number of Python frames of a call through a registry: each costs time, and a line in every traceback."""

from __future__ import annotations

import itertools
import sys
from types import FrameType

from eventually import eventually
from hand_written import Users, UserServiceClient, user_service

from idlrt import Server
from idlrt.registry import Registry
from idlrt.serialization import backend

_numbers = itertools.count(1)

# The pure codecs are Python functions themselves.
LIMIT = 50 if backend == "native" else 60


def test_a_call_through_a_registry_takes_at_most_50_python_frames() -> None:
    name = f"memory://frames-{next(_numbers)}"
    called: list[str] = []

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            called.append(f"{frame.f_code.co_filename}: {frame.f_code.co_qualname}")

    with (
        Registry.connect(name) as registry,
        Server(user_service(Users()), registry=name) as first,
        Server(user_service(Users()), registry=name) as second,
        UserServiceClient.connect(f"{name}/UserService", metrics=False) as client,
    ):
        first.start()
        second.start()
        eventually(lambda: len(registry.instances("UserService").instances) == 2)
        for id in range(1, 100):
            client.get(id)
        counts: list[int] = []
        for id in range(1, 21):
            called.clear()
            sys.setprofile(note)
            try:
                client.get(id)
            finally:
                sys.setprofile(None)
            counts.append(len(called))
    # The median: now and then a call finds something due, such as the next window of a budget.
    assert sorted(counts)[10] <= LIMIT, called
