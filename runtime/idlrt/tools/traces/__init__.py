"""`idlrt trace`: calls and traces of many instances, read from their admin ports.

- `reader`: pages of all instances, at the same time; `tail`: calls that are new; `text`: calls and trees as text.
"""

from idlrt.tools.traces.reader import NothingReadable, Search, TraceReader
from idlrt.tools.traces.tail import Tail, repeat
from idlrt.tools.traces.text import call_line, heading, tree_lines

__all__ = ["NothingReadable", "Search", "Tail", "TraceReader", "call_line", "heading", "repeat", "tree_lines"]
