"""Formatting of files on disk, and of standard input.

A byte order mark stays, and so does the kind of line ends. Files that are formatted already are not written.
"""

from __future__ import annotations

import codecs
import io
import stat
from difflib import unified_diff
from pathlib import Path

import msgspec

from idlc.diagnostics import Report
from idlc.files import replace_file
from idlc.formatting.formatter import DEFAULT_WIDTH, format_source
from idlc.source import SourceUnreadable, decode

__all__ = ["FormattedFile", "format_bytes", "format_file"]


class FormattedFile(msgspec.Struct, frozen=True):
    """Content of a file before and after formatting.

    Attributes:
        path: file, absolute and without symbolic links.
        name: file name in messages and diffs.
    """

    path: Path
    name: str
    before: bytes
    after: bytes

    @property
    def is_changed(self) -> bool:
        """Whether formatting changes the file."""
        return self.before != self.after

    def diff(self) -> str:
        """Return the change as a unified diff; empty if there is none."""
        before, after = (list(io.StringIO(data.decode("utf-8"), newline="\n")) for data in (self.before, self.after))
        lines = unified_diff(before, after, self.name, self.name)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)

    def write(self) -> None:
        """Replace the file atomically if it is changed; its permissions stay.

        Raises:
            OSError: the file cannot be written; it is unchanged.
        """
        if not self.is_changed:
            return
        mode = stat.S_IMODE(self.path.stat().st_mode)
        replace_file(self.path, self.after, mode=mode)
        if stat.S_IMODE(self.path.stat().st_mode) != mode:  # the umask of the process has removed some
            self.path.chmod(mode)


def format_file(path: Path, report: Report, *, name: str = "", width: int = DEFAULT_WIDTH) -> FormattedFile | None:
    """Format a file without writing it. Syntax errors are reported.

    Args:
        name: file name in messages; the path if it is not given.
        width: see `format_source`.

    Returns:
        The content before and after, or `None` if the file cannot be read, which is reported, too.
    """
    resolved = path.resolve()
    name = name or str(path)
    try:
        data = resolved.read_bytes()
    except OSError as error:
        report.error("file.unreadable", f"cannot read `{name}`: {(error.strerror or str(error)).lower()}", None)
        return None
    return format_bytes(data, resolved, report, name=name, width=width)


def format_bytes(
    data: bytes, path: Path, report: Report, *, name: str = "", width: int = DEFAULT_WIDTH
) -> FormattedFile | None:
    """Format the content of a file that need not exist. Arguments and result are those of `format_file`."""
    try:
        source = decode(data, path, name=name or str(path))
    except SourceUnreadable as error:
        report.error("file.unreadable", f"cannot read `{error.name}`: {error.reason}", error.span)
        return None
    after = format_source(source, report, width=width).encode("utf-8")
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    return FormattedFile(path, source.name, data, mark + after)
