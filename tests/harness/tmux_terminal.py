"""A terminal of a given size in which a command runs: `tmux`, with keys to send and a screen to read."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from eventually import TIMEOUT, eventually
from programs import require_program

__all__ = ["Terminal", "terminal"]

# Variables of the surrounding terminal and of commands that the tests do not set.
_UNSET = ("TMUX", "NO_COLOR", "COLUMNS", "LINES", "IDLRT_ADMIN_TOKEN")


class Terminal:
    """The terminal. After the command its exit code is shown, and the terminal stays open."""

    def __init__(self, folder: Path, command: Sequence[str], size: tuple[int, int], variables: dict[str, str]) -> None:
        self._command = [require_program("tmux", "tmux"), "-S", str(folder / "tmux"), "-f", "/dev/null"]
        environment = {name: value for name, value in os.environ.items() if name not in _UNSET}
        environment |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        settings = [f"{name}={value}" for name, value in variables.items()]
        text = f"{shlex.join(['env', *settings, *command])}; echo exit code $?; stty -a; cat"
        columns, rows = map(str, size)
        self._run("new-session", "-d", "-x", columns, "-y", rows, text, environment=environment)

    def _run(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [*self._command, *arguments], env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def pid(self) -> int:
        """Process of the shell in the terminal."""
        return int(self._run("display-message", "-p", "#{pane_pid}"))

    @property
    def is_cursor_visible(self) -> bool:
        return self._run("display-message", "-p", "#{cursor_flag}").strip() == "1"

    @property
    def is_alternate(self) -> bool:
        """Whether a program shows a screen in place of what was printed before."""
        return self._run("display-message", "-p", "#{alternate_on}").strip() == "1"

    def screen(self, *, has_styles: bool = False) -> str:
        return self._run("capture-pane", "-p", *(["-e"] if has_styles else []))

    def press(self, *keys: str) -> None:
        """Press keys, named as tmux does: `Enter`, `BSpace`, `Down`, `C-c`, `q`."""
        self._run("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    def until(self, what: str | Callable[[str], bool]) -> str:
        """The screen once it has a text, or fulfils a condition."""
        is_there = (lambda screen: what in screen) if isinstance(what, str) else what
        found = ""

        def look() -> bool:
            nonlocal found
            found = self.screen()
            return is_there(found)

        try:
            eventually(look)
        except AssertionError:
            raise AssertionError(f"not on the screen: {what}\n{found}") from None
        return found

    def close(self) -> None:
        self._run("kill-server")


@contextlib.contextmanager
def terminal(
    folder: Path, command: Sequence[str], *, size: tuple[int, int] = (80, 24), **variables: str
) -> Iterator[Terminal]:
    """A terminal with a command in it.

    Args:
        folder: for the socket of tmux.
        size: columns and rows.
        variables: further environment variables.
    """
    made = Terminal(folder, command, size, variables)
    try:
        yield made
    finally:
        made.close()
