"""Parser: from text to a syntax tree with comments and positions."""

from idlc.syntax import nodes
from idlc.syntax.nodes import Document
from idlc.syntax.parser import parse

__all__ = ["Document", "nodes", "parse"]
