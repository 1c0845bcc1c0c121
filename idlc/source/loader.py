"""Loading of IDL files: from memory or disk, with an include search path.

Includes are searched as in Apache Thrift: in the folder of the including file, then in each include folder in the given
order, then in the working directory. A file is read once, even if several paths lead to it, because files are
identified by their resolved paths.

IDL files may be untrusted, and diagnostics quote source text. Therefore an included file must end in `.thrift` or
`.idl`, both in the include and after symbolic links are resolved; other files are not opened.

The loader also records the paths that it has searched without success. A later compile is up to date only if the files
that were read are unchanged *and* none of these paths exists.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from idlc.files import readable
from idlc.source.file import SourceFile, Span

__all__ = ["Loader", "SourceNotFound", "SourceUnreadable", "decode"]

_SUFFIXES = (".thrift", ".idl")
_NOT_IDL = "the file name must end in `.thrift` or `.idl`"


def _is_idl(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES)


class SourceNotFound(Exception):
    """A file does not exist.

    Attributes:
        name: requested name.
        searched: folders that were searched, in order, as shown in messages.
    """

    def __init__(self, name: str, searched: Sequence[str] = ()) -> None:
        super().__init__(f"{name}: no such file" + (f" in {', '.join(searched)}" if searched else ""))
        self.name = name
        self.searched = tuple(searched)


class SourceUnreadable(Exception):
    """A file exists but cannot be read or decoded, or is not allowed as an include.

    Attributes:
        name: file name in messages.
        reason: lower case, without a full stop.
        span: first invalid character, if the file could be read.
    """

    def __init__(self, name: str, reason: str, span: Span | None = None) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason
        self.span = span


def decode(data: bytes, path: Path, *, name: str | None = None) -> SourceFile:
    """Return a file with the given content, without its byte order mark.

    Args:
        path: resolved, absolute path.
        name: file name in messages; the path if it is not given.

    Raises:
        SourceUnreadable: the content is not UTF-8.
    """
    name = name if name is not None else readable(path)
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return SourceFile(path, data.decode("utf-8"), name=name)
    except UnicodeDecodeError as error:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise SourceUnreadable(name, "the file is UTF-16, must be UTF-8") from error
        before = len(data[: error.start].decode("utf-8"))
        file = SourceFile(path, data.decode("utf-8", errors="replace"), name=name)
        reason = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise SourceUnreadable(name, reason, Span(file, before, before + 1)) from error


class Loader:
    """Loader of IDL files.

    Args:
        include_dirs: folders to search for includes, in this order.
        overlay: contents that replace those of files, by path, for editors and tests. The files need not exist.

    Attributes:
        files: files that were read, by resolved path.
        absent: resolved paths that were searched and do not exist.
    """

    def __init__(self, include_dirs: Sequence[Path] = (), *, overlay: Mapping[Path, str] | None = None) -> None:
        self.include_dirs = tuple(Path(folder) for folder in include_dirs)
        self.files: dict[Path, SourceFile] = {}
        self.absent: set[Path] = set()
        self._overlay = {Path(path).resolve(): text for path, text in (overlay or {}).items()}
        self._cwd = Path.cwd()

    def load(self, path: Path) -> SourceFile:
        """Read the file at `path`, relative to the working directory.

        Raises:
            SourceNotFound: the file does not exist.
            SourceUnreadable: the file cannot be read or is not UTF-8.
        """
        found = self._probe(path)
        if found is None:
            raise SourceNotFound(readable(path))
        return found

    def include(self, name: str, includer: SourceFile) -> SourceFile:
        """Find and read the file that `include "name"` in `includer` refers to.

        Raises:
            SourceNotFound: no folder of the search path contains the file.
            SourceUnreadable: the file cannot be read, is not UTF-8, or does not have the suffix of an IDL file.
        """
        if "\0" in name or not name:
            raise SourceNotFound(name)
        if not _is_idl(name):
            raise SourceUnreadable(name, _NOT_IDL)
        folders = list(self._folders(includer))
        for folder in folders:
            found = self._probe(folder / name, is_included=True)
            if found is not None:
                return found
        raise SourceNotFound(name, [self._display(folder) for folder in folders])

    def _folders(self, includer: SourceFile) -> Iterator[Path]:
        seen: set[Path] = set()
        for folder in (includer.path.parent, *self.include_dirs, self._cwd):
            resolved = folder.resolve()
            if resolved not in seen:
                seen.add(resolved)
                yield resolved

    def _probe(self, path: Path, *, is_included: bool = False) -> SourceFile | None:
        try:
            resolved = path.resolve()
            known = self.files.get(resolved)
            if known is not None:
                return known
            text = self._overlay.get(resolved)
            if text is None and not resolved.is_file():
                self.absent.add(resolved)
                return None
        except (OSError, ValueError, RuntimeError):  # name too long, zero byte, loop of symbolic links
            return None
        if is_included and not _is_idl(resolved.name):
            raise SourceUnreadable(self._display(path), _NOT_IDL)
        file = SourceFile(resolved, text, name=self._display(resolved)) if text is not None else self._read(resolved)
        self.files[resolved] = file
        return file

    def _read(self, path: Path) -> SourceFile:
        name = self._display(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SourceUnreadable(name, (error.strerror or str(error)).lower()) from error
        return decode(data, path, name=name)

    def _display(self, path: Path) -> str:
        try:
            relative = os.path.relpath(path, self._cwd)
        except ValueError:  # another drive
            return readable(path)
        return readable(path if relative.startswith(os.pardir) else relative)
