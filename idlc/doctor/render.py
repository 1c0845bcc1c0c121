"""How a condition is said: aligned lines for people, one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from idlc.doctor.condition import Condition, Package

__all__ = ["render", "to_json"]

# Name, value, remark.
_Row = tuple[str, str, str]


def render(condition: Condition) -> str:
    """Sections of aligned lines, then what is not as it should be, then one line that says how it is."""
    blocks: list[str] = []
    for title, rows in _sections(condition):
        first = max((len(name) for name, _, _ in rows), default=0)
        second = max((len(value) for _, value, remark in rows if remark), default=0)
        lines = [f"  {name:<{first}}  {value:<{second}}  {remark}".rstrip() for name, value, remark in rows]
        blocks.append("\n".join([title, *(lines or ["  none"])]))
    findings = condition.findings()
    blocks += [f"{finding.severity}: {finding.message}\n  help: {finding.help}" for finding in findings]
    errors = sum(finding.severity == "error" for finding in findings)
    blocks.append(
        f"{_count(errors, 'error')}, {_count(len(findings) - errors, 'warning')}"
        if findings
        else "everything is as it should be"
    )
    return "\n\n".join(blocks)


def to_json(condition: Condition) -> str:
    """All that `Condition` has, with `findings` and `is_fine`."""
    said = {
        **asdict(condition),
        "findings": [asdict(finding) for finding in condition.findings()],
        "is_fine": condition.is_fine,
    }
    return json.dumps(said, indent=2)


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _sections(condition: Condition) -> Iterator[tuple[str, list[_Row]]]:
    python, runtime, backend = condition.python, condition.runtime, condition.backend
    carried = "fit" if not (runtime.error or runtime.stubs_error) else "do not fit"
    yield (
        "versions",
        [
            ("idlc", condition.version, condition.folder),
            ("idlrt", runtime.version or "unknown", runtime.folder),
            ("stubs", runtime.stubs, f"what this idlc writes; they {carried} this idlrt"),
            ("python", python.version, f"{python.implementation}, {python.executable}"),
            ("platform", python.platform, ""),
        ],
    )
    yield "dependencies", list(_packages(condition.dependencies))
    yield (
        "extras",
        [
            (f"{extra.name}: {name}", found, ", ".join(filter(None, [remark, extra.purpose])))
            for extra in condition.extras
            for name, found, remark in _packages(extra.packages)
        ],
    )
    yield (
        "codecs",
        [
            ("backend", backend.name or "unknown", backend.reason),
            ("C compiler", backend.compiler or "not found", ""),
        ],
    )
    yield "cache", [("folder", condition.cache.folder, condition.cache.error or "writable")]
    yield (
        "plugins",
        [
            (group, plugin.name, f"{plugin.place}{f' fails: {plugin.error}' if plugin.error else ''}")
            for group, plugins in condition.plugins.items()
            for plugin in plugins
        ],
    )


def _packages(packages: Iterable[Package]) -> Iterator[_Row]:
    for package in packages:
        verb = "satisfies" if package.is_satisfied else "needs" if package.found is None else "does not satisfy"
        remark = f"{verb} {package.wanted or 'any version'}"
        yield package.name, package.found or "missing", remark
