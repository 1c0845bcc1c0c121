"""Catalogue of all kinds of diagnostics, those of registered checks included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from idlc.diagnostics import CATEGORIES, Rule

__all__ = ["ALL", "LINT_GROUP", "UnknownSelector", "all_rules", "matches", "require_known", "specificity"]

ALL: Final = "all"
LINT_GROUP: Final = "lint"


class UnknownSelector(ValueError):
    """No diagnostic has this name, prefix or category.

    Attributes:
        near: a known one that is similar; may be empty.
    """

    def __init__(self, selector: str, near: str) -> None:
        hint = f"did you mean `{near}`?" if near else "`idlc explain` lists all names"
        super().__init__(f"unknown diagnostic `{selector}`; {hint}")
        self.near = near


@cache
def all_rules() -> Mapping[str, Rule]:
    """Return all rules by name, sorted."""
    # Slow to import; an up-to-date compile does not need them.
    from idlc.checks import registered_checks
    from idlc.findings.compiler_rules import COMPILER_RULES

    rules = [*COMPILER_RULES, *(check.rule for check in registered_checks())]
    return {rule.name: rule for rule in sorted(rules, key=lambda rule: rule.name)}


def specificity(selector: str, rule: Rule) -> int:
    """Return how closely a selector describes a rule; 0 if it does not select it.

    A selector is a name (`field.id.missing`), the start of a name (`field.id`), a category (`naming`), `lint` for all
    categories that are lint, or `all`. The longest one that selects a rule is the most specific.
    """
    if rule.name == selector or rule.name.startswith(f"{selector}."):
        return 3 + selector.count(".")
    if selector == rule.category:
        return 3
    if selector == LINT_GROUP and rule.is_lint:
        return 2
    return int(selector == ALL)


def matches(selector: str, rule: Rule) -> bool:
    """Return whether a selector selects a rule."""
    return specificity(selector, rule) > 0


def require_known(selectors: Iterable[str], others: Iterable[str] = ()) -> None:
    """Check that each selector selects something.

    Args:
        others: names that are known, too.

    Raises:
        UnknownSelector: one of them does not.
    """
    selectors = list(selectors)
    if not selectors:
        return
    from idlc.model.scope import nearest  # slow to import, like the checks

    known = {**_selectors(), **dict.fromkeys(others)}
    for selector in selectors:
        if selector not in known:
            raise UnknownSelector(selector, nearest(selector, iter(known)) or "")


@cache
def _selectors() -> Mapping[str, None]:
    known: dict[str, None] = dict.fromkeys((ALL, LINT_GROUP, *CATEGORIES))
    for name in all_rules():
        parts = name.split(".")
        known.update((".".join(parts[:count]), None) for count in range(1, len(parts) + 1))
    return known
