"""Comparison of two snapshots: all incompatible changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from idlc.breaking.describe import Described
from idlc.breaking.files import compare_consts, compare_files
from idlc.breaking.findings import Finding, Findings, Ignored
from idlc.breaking.pairing import Index, pair_up
from idlc.breaking.rules import CATEGORIES, Category
from idlc.breaking.services import compare_services
from idlc.breaking.types import compare_declared_types
from idlc.breaking.usage import ANYWHERE, Usage, find_usage
from idlc.breaking.wire import Types

__all__ = ["compare"]


def compare(
    old: Described,
    new: Described,
    *,
    categories: Iterable[Category] = CATEGORIES,
    ignore: Sequence[Ignored] = (),
) -> list[Finding]:
    """Return the incompatible changes between two versions of an interface.

    Args:
        categories: findings that belong to none of these are left out; others keep only these.
        ignore: findings that are expected.

    Raises:
        SnapshotError: a snapshot has a type that cannot be read.
    """
    before, after = Index(old.snapshot), Index(new.snapshot)
    types = Types(before, after, pair_up(before, after))
    findings = Findings(old, new)
    compare_files(types, findings)
    compare_consts(types, findings)
    compare_declared_types(types, _usage(types), findings)
    compare_services(types, findings)
    wanted = {*categories}
    return [
        finding
        for finding in findings.found
        if wanted & {*finding.categories} and not any(each.matches(finding) for each in ignore)
    ]


def _usage(types: Types) -> dict[str, Usage]:
    """Return the use of each new type, in any of both versions."""
    found = find_usage(types.new)
    for key, usage in find_usage(types.old).items():
        after = types.pairs.types.get(key)
        if after is not None:
            found[after] = found.get(after, ANYWHERE) | usage
    return found
