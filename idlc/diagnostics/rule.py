"""Description of a kind of diagnostic: its stable name, category, default severity and a summary.

The category `correctness` is for IDL that is wrong or does not do what its author expects, and `output` for what the
generated code does differently. Findings of the other categories are a matter of taste or of what other tools accept;
together they are called `lint`. They are reported by `idlc lint`, and elsewhere only if they are enabled.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import msgspec

from idlc.diagnostics.diagnostic import Severity

__all__ = ["CATEGORIES", "LINT", "Category", "Rule"]

Category: TypeAlias = Literal[
    "correctness", "output", "portability", "compatibility", "naming", "style", "security", "docs"
]

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)

LINT: Final[frozenset[Category]] = frozenset(("portability", "compatibility", "naming", "style", "security", "docs"))
"""Categories that are off by default when files are compiled."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Kind of diagnostic.

    Attributes:
        name: stable dotted name.
        severity: severity of its findings by default.
        category: what it is about.
        summary: what it requires, in one line.
        is_fixable: whether some of its findings have fixes.
    """

    name: str
    severity: Severity
    category: Category = "correctness"
    summary: str = ""
    is_fixable: bool = False

    @property
    def is_lint(self) -> bool:
        """Whether it is off by default when files are compiled."""
        return self.category in LINT

    @property
    def is_fixed(self) -> bool:
        """Whether it reports nothing but errors without which code could be generated, so that it stays an error."""
        return self.severity == "error" and not self.is_lint
