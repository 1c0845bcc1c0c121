"""Concurrent use of one object by several threads, for conformance suites."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["run_concurrently"]

_THREADS = 4


def run_concurrently(use: Callable[[], None]) -> None:
    """Call `use` on several threads at the same time.

    Raises:
        BaseException: the first error that a thread raised.
    """
    wrong: list[BaseException] = []

    def run() -> None:
        try:
            use()
        except BaseException as error:  # noqa: BLE001  # raised below
            wrong.append(error)

    threads = [threading.Thread(target=run) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
