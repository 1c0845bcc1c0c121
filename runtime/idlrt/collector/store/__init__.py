"""Storage of metrics of the collector: cells of 10 s and coarser ones of all programs, in one SQLite file.

- `cell_store`: what is put, committed, maintained and read.
- `retention`: levels of cells, and how long each is kept.
- `values`, `adding`: how cells are added; `blocks`: cells as bytes; `identities`: numbers of series; `keys`: of rows.
- `rolling`: fine cells to coarse ones, deletion; `summaries`: totals of all series; `database`: the file.
- `query`: queries and their results; `reading`: how they are answered; `scanning`: where cells are, and their sums.
"""

from __future__ import annotations

from idlrt.collector.store.cell_store import CellStore
from idlrt.collector.store.database import StoreError
from idlrt.collector.store.query import Group, Query, Result, Where
from idlrt.collector.store.retention import DEFAULT, Level, Retention

__all__ = ["DEFAULT", "CellStore", "Group", "Level", "Query", "Result", "Retention", "StoreError", "Where"]
