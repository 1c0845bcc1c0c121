"""Forked children that return from a handler: they exit there.

A child has copies of the calls in flight and of the unsent responses of its parent. If it continued, it would run and
answer those calls a second time. The inherited sockets of the server are closed already, at the fork.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from idlrt.core.logs import get_logger

__all__ = ["exit_child"]

_log = get_logger("idlrt.server")


def exit_child(error: BaseException | None = None) -> NoReturn:
    """Exit this process, without running the exit handlers and `finally` blocks that belong to its parent.

    Args:
        error: exception that the handler raised in the child, if any. `SystemExit` sets the exit status, as usual;
            other exceptions are logged, and the status is 1.
    """
    status = 0
    try:
        if isinstance(error, SystemExit):
            status = _status_of(error)
        elif error is not None:
            status = 1
            _log.error("exiting forked process: the handler failed in the child", exc_info=error)
        else:
            _log.warning(
                "exiting forked process: the handler returned in the child; end children with os._exit() or sys.exit()"
            )
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
    finally:
        os._exit(status)


def _status_of(error: SystemExit) -> int:
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1
