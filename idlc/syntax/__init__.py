"""From text to a syntax tree, with every comment and every place kept."""

from idlc.syntax import nodes
from idlc.syntax.nodes import Document
from idlc.syntax.parser import parse

__all__ = ["Document", "nodes", "parse"]
