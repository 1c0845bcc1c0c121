"""Distribution of code generation over processes.

Processes are forked, so that they inherit the linked model, which would take long to copy; they return texts. This is
for commands: a process with threads must not fork.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

__all__ = ["render_all"]

Item = TypeVar("Item")


def render_all(render: Callable[[Item], str], items: Sequence[Item], jobs: int) -> list[str]:
    """Return the text of each item, in order.

    Items of a process that fails are rendered again by this one, so that its exception is raised here.

    Args:
        jobs: number of processes; with 1, or on platforms that cannot fork, everything is rendered by this process.
    """
    jobs = min(jobs, len(items)) if hasattr(os, "fork") else 1
    if jobs <= 1:
        return [render(item) for item in items]
    shares = [range(first, len(items), jobs) for first in range(1, jobs)]

    def render_share(share: range) -> list[str]:
        return [render(items[index]) for index in share]

    children = [_fork(partial(render_share, share)) for share in shares]
    texts = {index: render(items[index]) for index in range(0, len(items), jobs)}
    for share, (child, pipe) in zip(shares, children, strict=True):
        found = _collect(child, pipe)
        texts.update(zip(share, found if found is not None else render_share(share), strict=True))
    return [texts[index] for index in range(len(items))]


def _fork(run: Callable[[], list[str]]) -> tuple[int, int]:
    """Run a function in a child; return its process id, and the pipe that its texts come from."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        with open(writing, "wb") as stream:
            stream.write(msgspec.msgpack.encode(run()))
        status = 0
    finally:
        os._exit(status)  # without the cleanup of the process that was forked


def _collect(child: int, pipe: int) -> list[str] | None:
    with open(pipe, "rb") as stream:
        data = stream.read()
    try:
        _, status = os.waitpid(child, 0)
        return None if status else msgspec.msgpack.decode(data, type=list[str])
    except (ChildProcessError, msgspec.MsgspecError):  # a parent that ignores SIGCHLD has collected it
        return None
