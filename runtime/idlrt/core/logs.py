"""Rate limiting and escaping for the loggers of the runtime.

Peers influence how many calls are rejected or fail, and with which arguments. So all loggers share one filter:

- **Number**: at most `BURST` records of one kind pass in `WINDOW` seconds. A kind is a message template, the `kind` in
  `extra`, and for exceptions the code location that raised them. Suppressed records are counted; the count is appended
  to the next record of that kind, or logged as a separate record when something else is logged. `logging.DEBUG` is not
  limited.
- **Text**: arguments and the fields in `extra` become text of at most `LONGEST` characters, in which control
  characters, line breaks and bidirectional characters are escaped. A record refers to no object of the program, so log
  collectors can neither modify one nor serialize it in full.

Records with `ALWAYS` in their `extra` are not limited: the events of a server's lifecycle.
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
from idlrt.printable import plural, printable

__all__ = ["ALWAYS", "BURST", "LOG_LIMIT", "LONGEST", "WINDOW", "LogLimit", "cleaned", "get_logger"]

BURST: Final = 10
WINDOW: Final = 10.0
LONGEST: Final = 1000
ALWAYS: Final = {"is_always_logged": True}

_MAX_KINDS: Final = 1024
_MAX_LINES: Final = 400
# Attributes that each record has; the others come from `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "is_always_logged"}

_Kind = tuple[object, ...]


def cleaned(text: str, longest: int = LONGEST) -> str:
    """Return `text` on one line, with unprintable characters escaped, truncated to `longest` characters."""
    if len(text) > longest:
        text = f"{text[:longest]}... ({plural(len(text), 'character')})"
    return printable(text)


class _Count:
    """Number of passed and suppressed records of one kind in its window."""

    __slots__ = ("began_at", "level", "name", "passed", "suppressed", "template")

    def __init__(self, record: logging.LogRecord, now: float) -> None:
        self.name, self.level, self.template = record.name, record.levelno, str(record.msg)
        self.began_at = now
        self.passed = self.suppressed = 0


class LogLimit(logging.Filter):
    """The log filter. Loggers and threads may share it.

    Args:
        now: returns the time of a monotonic clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Reset the counts; after a fork they are those of the parent."""
        self._lock = threading.RLock()  # a signal handler may log, too
        self._counts: dict[_Kind, _Count] = {}
        self._next_check_at = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record passes, and clean it if it does."""
        if record.levelno > logging.DEBUG and not getattr(record, "is_always_logged", False):
            passes, suppressed = self._count(record)
            for each in self._expired():
                _report(each)
            if not passes:
                return False
            if suppressed:
                _append_count(record, suppressed)
        _clean(record)
        return True

    def report(self) -> None:
        """Log the number of suppressed records of each kind so far."""
        for each in self._expired(at_once=True):
            _report(each)

    def _count(self, record: logging.LogRecord) -> tuple[bool, int]:
        """Return whether a record is within the limit, and how many were suppressed in the window before, if any."""
        kind = _kind(record)
        now = self._now()
        with self._lock:
            count = self._counts.get(kind)
            suppressed = 0
            if count is None or now - count.began_at >= WINDOW:
                suppressed = count.suppressed if count is not None else 0
                self._counts.pop(kind, None)  # keeps the kinds ordered by the start of their windows
                count = self._counts[kind] = _Count(record, now)
            if count.passed >= BURST:
                count.suppressed += 1
                return False, 0
            count.passed += 1
            return True, suppressed

    def _expired(self, *, at_once: bool = False) -> list[_Count]:
        """Remove the kinds whose windows are over, and return those that have suppressed records."""
        now = self._now()
        if not at_once and now < self._next_check_at and len(self._counts) <= _MAX_KINDS:
            return []
        with self._lock:
            self._next_check_at = now + WINDOW / 10
            over: list[_Count] = []
            for kind, count in list(self._counts.items()):
                if not at_once and now - count.began_at < WINDOW and len(self._counts) <= _MAX_KINDS:
                    break
                del self._counts[kind]
                if count.suppressed:
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


def _report(count: _Count) -> None:
    """Log the number of suppressed records of a kind that no later record has reported."""
    log = get_logger(count.name)
    records = plural(count.suppressed, "similar record")
    fields = {**ALWAYS, "suppressed": count.suppressed}
    log.log(count.level, "suppressed %s within %g s: %s", records, WINDOW, count.template, extra=fields)


def _append_count(record: logging.LogRecord, suppressed: int) -> None:
    if isinstance(record.args, Mapping):
        record.msg, record.args = record.getMessage(), ()
    if not record.args:
        record.msg = str(record.msg).replace("%", "%%")
    record.msg = f"{record.msg} (%s suppressed)"
    record.args = (*(record.args or ()), plural(suppressed, "similar record"))
    record.suppressed = suppressed


def _clean(record: logging.LogRecord) -> None:
    if isinstance(record.args, Mapping):
        record.args = {name: _value(value) for name, value in record.args.items()}
    elif record.args:
        record.args = tuple(_value(value) for value in record.args)
    for name, value in vars(record).items():
        if name not in _STANDARD:
            setattr(record, name, _value(value))
    if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
        lines = "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n").split("\n")
        clean = [cleaned(line) for line in lines[:_MAX_LINES]]
        if clean != lines:
            # Formatters of the standard library use this instead of formatting the exception.
            record.exc_text = "\n".join(clean)


def _value(value: object) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    try:
        return cleaned(str(value))
    except Exception as error:  # noqa: BLE001  # a broken `__str__` must not lose the record
        return f"<{type(value).__qualname__}: {type(error).__name__}>"


LOG_LIMIT: Final = LogLimit()
"""The filter of all loggers of the runtime."""
atexit.register(LOG_LIMIT.report)


def get_logger(name: str) -> logging.Logger:
    """Return the logger `name` with the filter installed.

    Use it instead of `logging.getLogger`, and pass untrusted values as arguments (`"lost %s"`) or in `extra`, never in
    the format string.
    """
    found = logging.getLogger(name)
    found.addFilter(LOG_LIMIT)
    return found
