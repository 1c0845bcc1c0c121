"""Storage of metrics of the collector: cells of 10 s and coarser ones of all programs, in one SQLite file.

- `cell_store`: what is put, committed, maintained and read.
- `retention`: levels of cells, and how long each is kept.
- `values`: how cells are added; `blocks`: cells as bytes; `identities`: numbers of series.
- `rolling`: fine cells to coarse ones, deletion; `reading`: queries; `database`: the file.
"""

from __future__ import annotations

from idlrt.collector.store.cell_store import CellStore
from idlrt.collector.store.database import StoreError
from idlrt.collector.store.reading import Group, Result
from idlrt.collector.store.retention import DEFAULT, Level, Retention

__all__ = ["DEFAULT", "CellStore", "Group", "Level", "Result", "Retention", "StoreError"]
