"""IDL source files: loading, the include search path, and positions in files."""

from idlc.source.file import Position, SourceFile, Span
from idlc.source.loader import Loader, SourceNotFound, SourceUnreadable, decode

__all__ = ["Loader", "Position", "SourceFile", "SourceNotFound", "SourceUnreadable", "Span", "decode"]
