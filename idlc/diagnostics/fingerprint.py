"""Identity of a finding that survives edits elsewhere in its file: name, file, and text of the line.

Line numbers are not part of it, so that code that moves keeps its findings; neither is white space, so that formatting
does not change it. Findings with the same identity are counted.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from idlc.diagnostics.diagnostic import Diagnostic

__all__ = ["Identity", "fingerprint", "identity"]


class Identity(msgspec.Struct, frozen=True, order=True):
    """Name, file (relative to a folder, with `/`), and text of the first line of a finding."""

    file: str
    name: str
    text: str


def identity(diagnostic: Diagnostic, root: Path) -> Identity:
    """Return the identity of a finding, with the path of its file relative to `root`."""
    span = diagnostic.span
    if span is None:
        return Identity("", diagnostic.name, diagnostic.message)
    try:
        file = os.path.relpath(span.file.path, root)
    except ValueError:  # another drive
        file = str(span.file.path)
    text = " ".join(span.file.line(span.position.line).split())
    return Identity(*(_printable(each) for each in (file.replace(os.sep, "/"), diagnostic.name, text)))


def fingerprint(found: Identity, occurrence: int) -> str:
    """Return the identity as a hash, for the `occurrence`-th finding (from 0) with this identity."""
    parts = (found.name, found.file, found.text, str(occurrence))
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _printable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
