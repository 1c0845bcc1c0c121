"""Children that a handler forks and that come back from it: they end there.

A child has a copy of everything: of the calls that its parent works on, and of the answers that it has not sent. Had it
gone on, it would do and answer them a second time. What it inherits of a server it has given back already, at the fork.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from idlrt.core.logs import get_logger

__all__ = ["end_child"]

_log = get_logger("idlrt.server")


def end_child(error: BaseException | None = None) -> NoReturn:
    """End this process, without the exit handlers and the `finally` blocks that are its parent's.

    Args:
        error: what the handler raised in the child, if anything. `SystemExit` says the exit status, as it does
            elsewhere; other exceptions are logged, and the status is 1.
    """
    status = 0
    try:
        if isinstance(error, SystemExit):
            status = _status_of(error)
        elif error is not None:
            status = 1
            _log.error("ending a process that a handler forked: it failed there", exc_info=error)
        else:
            _log.warning("ending a process that a handler forked and that returned: end it by os._exit() or sys.exit()")
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
