"""Formatter of IDL files: one style, which keeps comments and never changes the syntax tree."""

from idlc.formatting.files import FormattedFile, format_bytes, format_file
from idlc.formatting.formatter import DEFAULT_WIDTH, MIN_WIDTH, format_source

__all__ = ["DEFAULT_WIDTH", "MIN_WIDTH", "FormattedFile", "format_bytes", "format_file", "format_source"]
