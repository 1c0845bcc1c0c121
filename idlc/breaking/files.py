"""Comparison of files: namespaces, constants, and what was removed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from idlc.breaking.findings import Findings
from idlc.breaking.pairing import Index
from idlc.breaking.rules import Category, rule
from idlc.breaking.snapshot import File, Struct, key, parse_type, split_key
from idlc.breaking.usage import has_routes
from idlc.breaking.wire import OLD_TO_NEW, Types

__all__ = ["compare_consts", "compare_files"]

_PYTHON: Final = ("py", "python", "*")
_SHOWN: Final = 40


def compare_files(types: Types, findings: Findings) -> None:
    """Report removed and moved files, changed namespaces, and declarations that were removed."""
    pairs = types.pairs
    for path, file in types.old.files.items():
        after = pairs.files.get(path)
        if after is None:
            _report_without_file(path, file, types, findings)
            continue
        if after != path and _is_renamed(path, after, types):
            findings.add_to_file(
                "file.moved",
                f"file `{path}` was moved to `{after}`",
                path=after,
                old_path=path,
                help="other IDL files include it, and stubs are imported, by its name",
            )
        _compare_namespaces(file, types.new.files[after], findings)
        for kind, name, place in _removed(file, types):
            _report_removed(kind, name, place, path, after, types, findings)


def compare_consts(types: Types, findings: Findings) -> None:
    """Compare all constants that both snapshots have."""
    for old_key, new_key in types.pairs.consts.items():
        old, new = types.old.consts[old_key], types.new.consts[new_key]
        if types.pairs.files.get(types.old.path_of[old_key]) != types.new.path_of[new_key]:
            findings.add(
                "const.moved",
                f"constant `{new.name}` was moved from `{split_key(old_key)[0]}` to `{split_key(new_key)[0]}`",
                new=new_key,
                old=old_key,
            )
        if not types.compare(old.type, new.type).is_same:
            findings.add(
                "const.type",
                f"the type of constant `{new.name}` changed from `{parse_type(old.type)}` to `{parse_type(new.type)}`",
                new=new_key,
                old=old_key,
                part="type",
                was=f"was `{parse_type(old.type)}`",
            )
        elif old.value != new.value:
            findings.add(
                "const.value",
                f"the value of constant `{new.name}` changed from {_short(old.value)} to {_short(new.value)}",
                new=new_key,
                old=old_key,
                part="value",
                was=f"was {_short(old.value)}",
            )


def _short(value: str) -> str:
    return f"`{value}`" if len(value) <= _SHOWN else f"`{value[: _SHOWN - 3]}...`"


def _is_renamed(old: str, new: str, types: Types) -> bool:
    """Return whether a pair of files is a move, and not the two files of a comparison of two files."""
    return old in types.new.files or new in types.old.files or len(types.old.files) > 1 or len(types.new.files) > 1


def _removed(file: File, types: Types) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, the name and the key of declarations that were removed."""
    for each in file.types:
        place = key(file.path, each.name)
        if place not in types.pairs.types:
            yield each.kind if isinstance(each, Struct) else type(each).__name__.lower(), each.name, place
    for const in file.consts:
        if key(file.path, const.name) not in types.pairs.consts:
            yield "constant", const.name, key(file.path, const.name)
    for service in file.services:
        if key(file.path, service.name) not in types.pairs.services:
            yield "service", service.name, key(file.path, service.name)


def _report_without_file(path: str, file: File, types: Types, findings: Findings) -> None:
    """Report a removed file. If parts of it were moved, what was not is reported one by one."""
    removed = list(_removed(file, types))
    count = len(file.types) + len(file.consts) + len(file.services)
    if not file.is_requested or count > len(removed):
        if file.is_requested or count > len(removed):
            for kind, name, place in removed:
                _report_removed(kind, name, place, path, path, types, findings)
        return
    services = [place for kind, _, place in removed if kind == "service"]
    categories: list[Category] = ["SOURCE", *(_service_categories(types.old, services) if services else [])]
    findings.add_to_file(
        "file.removed",
        f"file `{path}` was removed",
        path=path,
        old_path=path,
        categories=categories,
        flows=OLD_TO_NEW if services else frozenset(),
    )


def _report_removed(kind: str, name: str, place: str, path: str, after: str, types: Types, findings: Findings) -> None:
    if kind == "service":
        findings.add_to_file(
            "service.removed",
            f"service `{name}` was removed: new servers reject calls of old clients",
            path=after,
            old=place,
            categories=["SOURCE", *_service_categories(types.old, [place])],
            flows=OLD_TO_NEW,
        )
        return
    findings.add_to_file(
        "const.removed" if kind == "constant" else "type.removed",
        f"{kind} `{name}` was removed",
        path=after,
        old=place,
    )


def _service_categories(index: Index, keys: list[str]) -> list[Category]:
    is_rest = any(has_routes(function) for key in keys for _, base in index.bases(key) for function in base.functions)
    return [each for each in rule("service.removed").categories if each != "SOURCE" and (each != "REST" or is_rest)]


def _compare_namespaces(old: File, new: File, findings: Findings) -> None:
    for scope in sorted({*old.namespaces, *new.namespaces}):
        if scope in ("py", "python"):
            continue
        before, after = old.namespaces.get(scope), new.namespaces.get(scope)
        if before is not None and before != after:
            _report_namespace(scope, before, after, old.path, new.path, findings)
    python = [next((file.namespaces[each] for each in _PYTHON if each in file.namespaces), None) for file in (old, new)]
    if python[0] != python[1] and not old.namespaces.get("*") == python[0] is not None:
        scope = next((each for each in _PYTHON if each in new.namespaces or each in old.namespaces), "py")
        _report_namespace(scope, python[0], python[1], old.path, new.path, findings)


def _report_namespace(
    scope: str, before: str | None, after: str | None, old_path: str, path: str, findings: Findings
) -> None:
    if after is None:
        findings.add_to_file(
            "namespace.removed",
            f"namespace `{scope}` of `{path}` was removed, which was `{before}`",
            path=path,
            old_path=old_path,
            scope=scope,
            element=f"namespace {scope}",
            was=f"was `{before}`",
        )
        return
    change = f"changed from `{before}` to `{after}`" if before is not None else f"`{after}` was added"
    findings.add_to_file(
        "namespace.changed",
        f"namespace `{scope}` of `{path}` {change}"
        if before is not None
        else f"namespace `{scope}` {change} to `{path}`",
        path=path,
        old_path=old_path,
        scope=scope,
        element=f"namespace {scope}",
        was=f"was `{before}`" if before is not None else "had no namespace",
        help="stubs move to another package; imports of them must change" if scope in _PYTHON else "",
    )
