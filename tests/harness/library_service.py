"""Handlers of the library, and a server of it over HTTP."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from compiled_idl import library

from idlrt import Http, Server

MOST: Final = 500
EXAMPLE: Final = "isbn"
"""Number in the examples of the document: such a book can be lent."""


class Books:
    """Handlers, with the module of the stubs."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._books = {"123": module.Book(isbn="123", title="A first book", tags={"old"})}
        self._covers: dict[str, bytes] = {}
        self._lent: set[str] = set()

    def search(self, search: Any) -> Any:
        found = [each for each in self._books.values() if search.text.lower() in each.title.lower()]
        if search.shelves is not None:
            found = [each for each in found if each.shelf in search.shelves]
        shown = found[: search.limit]
        counts = {shelf: sum(each.shelf == shelf for each in found) for shelf in {each.shelf for each in found}}
        return self._module.Page(books=shown, counts=counts, total=len(found), session="s1")

    def get(self, isbn: str) -> Any:
        if isbn not in self._books:
            raise self._module.NoBook(isbn=isbn)
        return self._books[isbn]

    def add(self, book: Any) -> Any:
        if len(self._books) >= MOST:
            raise self._module.TooMany(most=MOST)
        self._books[book.isbn] = book
        return book

    def change(self, update: Any) -> Any:
        book = self.get(update.isbn)
        if update.title is not None:
            book.title = update.title
        if update.shelf is not None:
            book.shelf = update.shelf
        return book

    def remove(self, isbn: str | None = None) -> None:
        if isbn is not None:
            self.get(isbn)
            del self._books[isbn]

    def lend(self, isbn: str, reader: int, weeks: int) -> None:
        if isbn != EXAMPLE:
            self.get(isbn)
        if isbn in self._lent:
            raise self._module.Lent(isbn=isbn, until_ms=weeks * 1000)
        if reader == 1:
            raise self._module.Reserved(by="another reader", wait_s=3)
        self._lent.add(isbn)

    def upload(self, upload: Any) -> None:
        self._covers[upload.isbn] = upload.data

    def cover(self, isbn: str) -> Any:
        if isbn not in self._covers:
            raise self._module.NoBook(isbn=isbn)
        return self._module.Download(data=self._covers[isbn], etag='"1"')

    def login(self, login: Any) -> str:
        return f"{login.name} is in"

    def find(self, filter: Any) -> Any:
        return list(self._books.values()) if filter.shelf is None else []

    def file(self, path: str) -> str:
        return path

    def seen(self, isbn: str) -> None:
        pass

    def statistics(self, year: int = 2024, reader: uuid.UUID | None = None) -> dict[str, list[int]]:
        return {str(year): [1, 2, 2**60], str(reader): []}


@contextlib.contextmanager
def library_server(output: Path, **options: Any) -> Iterator[Server]:
    """A running server of the library, with its OpenAPI document.

    Args:
        output: an empty folder.
        options: options of the server.
    """
    with library(output) as module:
        options = {"http": Http(openapi=True), **options}
        with Server(module.library(Books(module)), "127.0.0.1:0", **options) as server:
            server.start()
            yield server
