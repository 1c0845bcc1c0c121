"""Where IDL text comes from: files, the include search path, positions in them."""

from idlc.source.file import Position, SourceFile, Span
from idlc.source.loader import Loader, SourceNotFound, SourceUnreadable

__all__ = ["Loader", "Position", "SourceFile", "SourceNotFound", "SourceUnreadable", "Span"]
