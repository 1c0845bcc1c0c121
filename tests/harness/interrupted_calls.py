"""A client in a separate process whose main thread is interrupted repeatedly, at random moments.

`python interrupted_calls.py TARGET INTERRUPTS COMPETING OPTIONS ROOM` makes calls, beside COMPETING threads, until
a SIGALRM handler has raised INTERRUPTS exceptions. Then it calls `wait` from ROOM threads, all at once, which is what
the client has room for. It prints figures before and after. See
`tests/issues/test_interrupted_calls_cost_no_places.py`.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any

from hand_written import UserServiceClient

from idlrt.client import client_stats
from idlrt.errors import ConnectionLost


class Interrupted(BaseException):
    """What the signal handler raises, as a time limit or Ctrl-C would."""


class Interrupter:
    """Raises `Interrupted` in the main thread within `longest` seconds after `start`.

    Attributes:
        count: how often it has.
        is_over: whether it has since `start`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.is_over = False
        self._random = random.Random(1)
        signal.signal(signal.SIGALRM, self._raise)

    def start(self, longest: float) -> None:
        self.is_over = False
        signal.setitimer(signal.ITIMER_REAL, self._random.uniform(1e-5, longest))

    def _raise(self, number: int, frame: object) -> None:
        self.count += 1
        self.is_over = True
        raise Interrupted


def interrupt(client: UserServiceClient, count: int, failures: Counter[str]) -> None:
    """Make calls until `count` of them have been interrupted."""
    interrupter = Interrupter()
    longest = 2 * min(duration(client) for _ in range(200))

    def until_interrupted() -> None:
        # Not in the `try` itself: the jump back of a loop lies outside of it in the bytecode of Python 3.12 and 3.13.
        while not interrupter.is_over:
            call(client, failures)

    while interrupter.count < count:
        try:
            interrupter.start(longest)
            until_interrupted()
        except Interrupted:
            pass


def duration(client: UserServiceClient) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    client.get(1)
    return time.perf_counter() - started


def call(client: UserServiceClient, failures: Counter[str]) -> None:
    """Make a call. The connection that it shares with an interrupted call may be lost."""
    try:
        assert client.get(7).id == 7
    except ConnectionLost:
        failures["lost"] += 1


def main(target: str, interrupts: int, competing: int, options: dict[str, Any], room: int) -> None:
    # More threads get between two statements of another one, and the main thread waits less for its turn.
    sys.setswitchinterval(0.0002)
    client = UserServiceClient.connect(target, **{"timeout": 60, **options})
    failures: Counter[str] = Counter()
    is_over = threading.Event()

    def compete() -> None:
        try:
            while not is_over.is_set():
                call(client, failures)
        except BaseException as error:
            failures[f"{type(error).__name__}: {error}"] += 1
            raise

    threads = [threading.Thread(target=compete) for _ in range(competing)]
    for thread in threads:
        thread.start()
    interrupt(client, interrupts, failures)
    is_over.set()
    for thread in threads:
        thread.join()

    stats = client_stats(client)
    counts = {"connections": stats.connections, "in_flight": stats.in_flight, "waiting": stats.waiting}
    print(json.dumps({**counts, **failures}), flush=True)
    results: list[int] = []
    threads = [threading.Thread(target=lambda id=id: results.append(client.wait(id))) for id in range(room)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    print(json.dumps({"results": sorted(results), "connections": client_stats(client).connections}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]), int(sys.argv[5]))
