"""Policy: which findings are reported, and with which severity.

By default, findings have the severity of their check, and lint is off. Levels are set for names, prefixes of names and
categories; of the levels that select a finding, the most specific one applies. Levels for paths override general ones,
and those of the command line override both.

Errors other than lint stay errors, because no code can be generated from IDL that has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import msgspec

from idlc.diagnostics import Diagnostic, Rule
from idlc.findings.catalogue import UnknownSelector, all_rules, require_known, specificity

__all__ = ["Level", "Levels", "Policy", "PolicyError"]

Level: TypeAlias = Literal["error", "warning", "note", "off"]

LEVELS: Final[tuple[Level, ...]] = get_args(Level)


class PolicyError(ValueError):
    """A policy has an unknown name or level, or turns off an error."""


class Levels(msgspec.Struct, frozen=True):
    """Levels by selector, for all files or for some.

    Attributes:
        levels: level of each selector: a name, the start of a name, a category, `lint` or `all`.
        paths: patterns of paths, relative to the root of the project; empty for all files. `*` matches within a name
            and `**` across folders; a pattern without `/` matches a file or folder of that name anywhere, and the
            pattern of a folder matches everything in it.
    """

    levels: Mapping[str, Level]
    paths: tuple[str, ...] = ()

    def applies_to(self, path: str) -> bool:
        """Return whether the levels apply to a file; `path` is relative to the root of the project, with `/`."""
        return not self.paths or any(_pattern(pattern).fullmatch(path) for pattern in self.paths)

    def level(self, rule: Rule) -> Level | None:
        """Return the level of the most specific selector that selects a rule, or `None`."""
        best = max(self.levels, key=lambda selector: specificity(selector, rule), default="")
        return self.levels[best] if best and specificity(best, rule) else None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings are reported, and with which severity.

    Attributes:
        levels: levels; later ones override earlier ones.
        with_lint: whether lint is reported by default.
        warnings_as_errors: whether warnings, after levels are applied, are errors.
        max_errors: number of errors that are printed; 0 for all.
    """

    levels: tuple[Levels, ...] = ()
    with_lint: bool = False
    warnings_as_errors: bool = False
    max_errors: int = 0

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Policy:
        """Return the policy of a table of a configuration file.

        Args:
            table: `severity` (selector → level), `paths` (pattern → such a table), `warnings_as_errors` and
                `max_errors`; all are optional.

        Raises:
            PolicyError: a key, selector or level is unknown, or an error is turned off.
        """
        keys = ("severity", "paths", "warnings_as_errors", "max_errors")
        for key in table:
            if key not in keys:
                raise PolicyError(f"unknown key {key!r} (known: {', '.join(keys)})")
        as_errors, most = table.get("warnings_as_errors", False), table.get("max_errors", 0)
        if not isinstance(as_errors, bool):
            raise PolicyError(f"warnings_as_errors: must be true or false, got {as_errors!r}")
        if not isinstance(most, int) or isinstance(most, bool) or most < 0:
            raise PolicyError(f"max_errors: must be a number that is at least 0, got {most!r}")
        levels = [Levels(_levels("severity", table.get("severity", {})))]
        for pattern, of_path in _table("paths", table.get("paths", {})).items():
            levels.append(Levels(_levels(f"paths.{pattern!r}", of_path), (pattern,)))
        return cls(levels=tuple(each for each in levels if each.levels), warnings_as_errors=as_errors, max_errors=most)

    def with_options(self, options: Iterable[str]) -> Policy:
        """Return the policy with options of the command line, which override it.

        Args:
            options: `error` for warnings as errors, `SELECTOR` for a warning, or `SELECTOR=LEVEL`.

        Raises:
            PolicyError: a selector or level is unknown, or an error is turned off.
        """
        as_errors = self.warnings_as_errors
        levels: dict[str, Level] = {}
        for option in options:
            selector, separator, level = option.partition("=")
            if option == "error":
                as_errors = True
            else:
                # The last option counts, also if it is less specific.
                levels = {known: each for known, each in levels.items() if not known.startswith(f"{selector}.")}
                levels |= _levels("", {selector: level if separator else "warning"})
        added = (Levels(levels),) if levels else ()
        return msgspec.structs.replace(self, levels=(*self.levels, *added), warnings_as_errors=as_errors)

    def may_report(self, rule: Rule) -> bool:
        """Return whether findings of a rule are reported in some file, so that its check must run."""
        if self.with_lint or not rule.is_lint:
            return True
        return any(levels.level(rule) not in (None, "off") for levels in self.levels)

    def level(self, rule: Rule, path: str) -> Level:
        """Return the level of a rule in a file, before warnings become errors."""
        level: Level = "off" if rule.is_lint and not self.with_lint else rule.severity
        for levels in self.levels:
            if levels.applies_to(path):
                level = levels.level(rule) or level
        return level

    def judge(self, diagnostic: Diagnostic, rule: Rule, path: str) -> Diagnostic | None:
        """Return a diagnostic with the severity that the policy gives it, or `None` if it is not reported.

        Args:
            path: path of its file, relative to the root of the project, with `/`; empty if it has none.
        """
        if diagnostic.severity == "error" and not rule.is_lint:
            return diagnostic
        level = self.level(msgspec.structs.replace(rule, severity=diagnostic.severity), path)
        if level == "off":
            return None
        if level == "warning" and self.warnings_as_errors:
            level = "error"
        return diagnostic if level == diagnostic.severity else msgspec.structs.replace(diagnostic, severity=level)


def _levels(where: str, table: object) -> dict[str, Level]:
    at = f"{where}: " if where else ""
    found = _table(where, table)
    try:
        require_known(found)
    except UnknownSelector as error:
        raise PolicyError(f"{at}{error}") from None
    for selector, level in found.items():
        if level not in LEVELS:
            raise PolicyError(f"{at}{selector}: unknown level {level!r} (known: {', '.join(LEVELS)})")
        rule = all_rules().get(selector)
        if rule is not None and rule.is_fixed and level != "error":
            raise PolicyError(f"{at}`{selector}` is always an error: no code can be generated from IDL that has it")
    return cast("dict[str, Level]", found)


def _table(where: str, table: object) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        raise PolicyError(f"{where}: must be a table, got {table!r}")
    return dict(cast("Mapping[str, Any]", table))


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """Translate a pattern of paths; it also matches everything below a folder that it matches."""
    anywhere = "" if "/" in pattern.rstrip("/") else "(?:.*/)?"
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.strip("/"))
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile(f"{anywhere}{''.join(special.get(part) or re.escape(part) for part in parts)}(?:/.*)?")
