"""The screen in a terminal, by `curses`: keys, colours, resizing. Only cells that have changed are written."""

from __future__ import annotations

import curses
import locale
import os
import signal
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from idlrt.tools.top.collector import Collector
from idlrt.tools.top.screen import Line, Style, draw
from idlrt.tools.top.table import make_table
from idlrt.tools.top.view import Shown, View, press

__all__ = ["is_usable", "show"]

_TICK_MS: Final = 100
_KEYS: Final[Mapping[int | str, str]] = {
    curses.KEY_UP: "up",
    curses.KEY_DOWN: "down",
    curses.KEY_LEFT: "left",
    curses.KEY_RIGHT: "right",
    curses.KEY_PPAGE: "page_up",
    curses.KEY_NPAGE: "page_down",
    curses.KEY_HOME: "home",
    curses.KEY_END: "end",
    curses.KEY_ENTER: "enter",
    curses.KEY_BACKSPACE: "backspace",
    curses.KEY_BTAB: "backtab",
    "\n": "enter",
    "\r": "enter",
    "\x1b": "escape",
    "\t": "tab",
    "\x7f": "backspace",
    "\b": "backspace",
}
_PLAIN: Final = str.maketrans({"\u2026": "~", "\u2013": "-", "\u25b2": "^", "\u25bc": "v", "\u00b5": "u"})
_ARROWS: Final = str.maketrans({"\u2190": "<", "\u2192": ">", "\u2191": "^", "\u2193": "v"})


def is_usable() -> bool:
    """Whether the terminal can show a screen."""
    try:
        curses.setupterm()
    except curses.error:
        return False
    return bool(curses.tigetstr("cup"))


def show(collector: Collector, view: View) -> None:
    """Show the screen until the key `q`, or Ctrl+C, and restore the terminal.

    Raises:
        ConfigurationError: the side has no such dimension.
    """
    locale.setlocale(locale.LC_ALL, "")
    os.environ.setdefault("ESCDELAY", "25")  # milliseconds; otherwise Esc takes a second
    with _signals_exit():
        try:
            curses.wrapper(lambda window: _Screen(window, collector, view).run())
        except KeyboardInterrupt:
            return


@contextmanager
def _signals_exit() -> Generator[None]:
    """Let signals that end the process restore the terminal first."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {each: signal.signal(each, leave) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class _Screen:
    """One run of the screen."""

    def __init__(self, window: curses.window, collector: Collector, view: View) -> None:
        self._window = window
        self._collector = collector
        self._view = view
        self._reports = collector.latest
        self._is_plain = not _is_utf8()
        self._styles = _styles()
        window.timeout(_TICK_MS)
        with suppress(curses.error):  # the terminal cannot hide it
            curses.curs_set(0)

    def run(self) -> None:
        """Draw, and handle keys, until one quits."""
        shown = self._draw()
        while True:
            key = self._key()
            view, reports = self._view, self._reports
            if key is not None:
                pressed = press(view, key, shown)
                if pressed is None:
                    return
                self._view = pressed
                if pressed.interval != view.interval:
                    self._collector.interval = pressed.interval
            if not self._view.is_paused:
                self._reports = self._collector.latest
            if key is not None or reports is not self._reports:
                shown = self._draw()

    def _key(self) -> str | None:
        """Return the next key, "" for a new size; `None` if there was none for a while."""
        try:
            key = self._window.get_wch()
        except curses.error:
            return None
        if key in _KEYS:
            return _KEYS[key]
        return key if isinstance(key, str) else ""

    def _draw(self) -> Shown:
        window = self._window
        rows, columns = window.getmaxyx()
        screen = draw(make_table(self._reports, self._view), self._view, columns, rows)
        window.erase()
        for number, line in enumerate(screen.lines):
            self._draw_line(number, line, is_last=number == rows - 1, columns=columns)
        window.refresh()
        return screen.shown

    def _draw_line(self, number: int, line: Line, *, is_last: bool, columns: int) -> None:
        at = 0
        for text, style in line:
            if not text:
                continue
            shown = text.translate(_PLAIN).translate(_ARROWS) if self._is_plain else text
            if self._is_plain:
                shown = shown.encode("ascii", "replace").decode()
            try:
                self._window.addstr(number, at, shown, self._styles[style])
            except curses.error:
                # Writing the last cell moves the cursor out of the window; smaller windows are drawn again anyhow.
                return
            at = self._window.getyx()[1]
            if at == 0 and not is_last:
                return  # the line is full


def _is_utf8() -> bool:
    return locale.nl_langinfo(locale.CODESET).upper().replace("-", "") == "UTF8"


def _styles() -> Mapping[Style, int]:
    """Return the attributes of styles; without colours where the terminal has none, or `NO_COLOR` is set."""
    bad = curses.A_BOLD
    core = curses.A_BOLD
    if curses.has_colors():
        curses.use_default_colors()  # not white on black
    if curses.has_colors() and not os.environ.get("NO_COLOR"):
        curses.init_pair(1, curses.COLOR_RED, -1)
        curses.init_pair(2, curses.COLOR_CYAN, -1)
        bad, core = curses.color_pair(1) | curses.A_BOLD, curses.color_pair(2)
    return {
        "": curses.A_NORMAL,
        "strong": curses.A_BOLD,
        "title": curses.A_BOLD | curses.A_UNDERLINE,
        "selected": curses.A_REVERSE,
        "bad": bad,
        "dim": curses.A_DIM,
        "core": core,
    }
