"""What the loggers of the runtime have in common: records are bounded in number and in size, and cannot be forged.

Peers decide how many calls are refused or fail, and what they are called with. So there is one filter on all loggers:

- **Number**: of one kind at most `BURST` records are let through in `WINDOW` seconds. A kind is a message template, the
  `kind` in its `extra`, and with an exception the place that raised it. What is left out is counted, and the count is
  told with the next record of that kind, or by a record of its own once something else is logged. `logging.DEBUG` is
  not limited.
- **Text**: values become text of at most `LONGEST` characters in which control characters, line breaks and characters
  that change the direction of text are escaped. A record holds no object of the program, so whatever collects records
  can neither change it nor write it out whole.

Records that have `ALWAYS` as their `extra` are let through whatever their number: those of a server's life.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

from idlrt.core.forks import forks
from idlrt.printable import printable

__all__ = ["ALWAYS", "BURST", "LOG_LIMIT", "LONGEST", "WINDOW", "LogLimit", "cleaned", "get_logger"]

BURST: Final = 10
WINDOW: Final = 10.0
LONGEST: Final = 1000
ALWAYS: Final = {"is_always_logged": True}

_MOST_KINDS: Final = 1024
_MOST_LINES: Final = 400

_Kind = tuple[object, ...]


def cleaned(text: str, longest: int = LONGEST) -> str:
    """Return `text` on one line, with whatever does not print escaped, and with at most `longest` of its characters."""
    if len(text) > longest:
        text = f"{text[:longest]}... ({len(text)} characters)"
    return printable(text)


class _Count:
    """How many records of a kind there were in its window."""

    __slots__ = ("began_at", "left_out", "level", "name", "passed", "template")

    def __init__(self, record: logging.LogRecord, now: float) -> None:
        self.name, self.level, self.template = record.name, record.levelno, str(record.msg)
        self.began_at = now
        self.passed = self.left_out = 0


class LogLimit(logging.Filter):
    """The filter. Safe to share between loggers and threads.

    Args:
        now: seconds on a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self.renew()
        forks.renew(self)

    def renew(self) -> None:
        """Forget what was counted; in a child of the process that was the parent's."""
        self._lock = threading.RLock()  # a signal handler may log, too
        self._counts: dict[_Kind, _Count] = {}
        self._look_at = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is let through; it is cleaned then."""
        if record.levelno > logging.DEBUG and not getattr(record, "is_always_logged", False):
            is_let_through, left_out = self._count(record)
            for each in self._ended():
                _tell(each)
            if not is_let_through:
                return False
            if left_out:
                _add_count(record, left_out)
        _clean(record)
        return True

    def report(self) -> None:
        """Log what has been left out so far."""
        for each in self._ended(at_once=True):
            _tell(each)

    def _count(self, record: logging.LogRecord) -> tuple[bool, int]:
        """Whether a record is within the bounds, and how many before it were not, if it begins a new window."""
        kind = _kind(record)
        now = self._now()
        with self._lock:
            count = self._counts.get(kind)
            left_out = 0
            if count is None or now - count.began_at >= WINDOW:
                left_out = count.left_out if count is not None else 0
                self._counts.pop(kind, None)  # kinds are in the order in which their windows began
                count = self._counts[kind] = _Count(record, now)
            if count.passed >= BURST:
                count.left_out += 1
                return False, 0
            count.passed += 1
            return True, left_out

    def _ended(self, *, at_once: bool = False) -> list[_Count]:
        """Take the kinds whose windows are over; those of which something was left out."""
        now = self._now()
        if not at_once and now < self._look_at and len(self._counts) <= _MOST_KINDS:
            return []
        with self._lock:
            self._look_at = now + WINDOW / 10
            over: list[_Count] = []
            for kind, count in list(self._counts.items()):
                if not at_once and now - count.began_at < WINDOW and len(self._counts) <= _MOST_KINDS:
                    break
                del self._counts[kind]
                if count.left_out:
                    over.append(count)
            return over


def _kind(record: logging.LogRecord) -> _Kind:
    template = f"{record.msg} {getattr(record, 'kind', '')}"
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return record.name, template
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = (trace.tb_frame.f_code, trace.tb_lineno) if trace is not None else None
    return record.name, template, type(error), place


def _tell(count: _Count) -> None:
    """Log how many records of a kind were left out, if nothing of that kind has come since."""
    log = get_logger(count.name)
    what = "left out %d records like this one within %g s: %s"
    log.log(count.level, what, count.left_out, WINDOW, count.template, extra=ALWAYS)


def _add_count(record: logging.LogRecord, left_out: int) -> None:
    if isinstance(record.args, Mapping):
        record.msg, record.args = record.getMessage(), ()
    if not record.args:
        record.msg = str(record.msg).replace("%", "%%")
    record.msg = f"{record.msg} (%d more like this were left out)"
    record.args = (*(record.args or ()), left_out)


def _clean(record: logging.LogRecord) -> None:
    if isinstance(record.args, Mapping):
        record.args = {name: _value(value) for name, value in record.args.items()}
    elif record.args:
        record.args = tuple(_value(value) for value in record.args)
    if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
        lines = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n").split("\n")
        clean = [cleaned(line) for line in lines[:_MOST_LINES]]
        if clean != lines:
            # What formatters of the standard library show instead of formatting the exception.
            record.exc_text = "\n".join(clean)


def _value(value: object) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    try:
        return cleaned(str(value))
    except Exception as error:  # noqa: BLE001  # a value that cannot be shown is no reason to lose the record
        return f"<{type(value).__qualname__}: {type(error).__name__}>"


LOG_LIMIT: Final = LogLimit()
"""The filter on all loggers of the runtime."""
atexit.register(LOG_LIMIT.report)


def get_logger(name: str) -> logging.Logger:
    """Return the logger `name`, with the filter on it.

    Use it instead of `logging.getLogger`, and pass what comes from outside as arguments (`"lost %s"`), never in the
    format.
    """
    found = logging.getLogger(name)
    found.addFilter(LOG_LIMIT)
    return found
