"""`idlrt monitor top`: figures of calls of many instances, live in a terminal.

- `cells_page`, `poll`: what instances have measured, and since the poll before.
- `view`: what is shown, and how keys change it; `table`: its rows; `columns`, `screen`: their text in a size.
- `terminal`: the screen in a terminal; `collector`: polls in the background; `output`: plain text and JSON.
- `run`: once, again and again as text, or as a screen.
"""

from idlrt.tools.instances import Targets
from idlrt.tools.top.cells_page import CellsReader
from idlrt.tools.top.columns import COLUMNS, NAME
from idlrt.tools.top.poll import Poller
from idlrt.tools.top.run import NothingReadable, once_as_json, once_as_text, repeat, watch
from idlrt.tools.top.view import View

__all__ = [
    "COLUMNS",
    "NAME",
    "CellsReader",
    "NothingReadable",
    "Poller",
    "Targets",
    "View",
    "once_as_json",
    "once_as_text",
    "repeat",
    "watch",
]
