"""Comparison of typedefs, enums, structs, unions and exceptions."""

from __future__ import annotations

from collections.abc import Mapping

from idlc.breaking.annotations import compare_status
from idlc.breaking.fields import Owner, compare_fields, compare_types
from idlc.breaking.findings import Findings
from idlc.breaking.rules import Category
from idlc.breaking.snapshot import Enum, Struct, TypeDeclaration, Typedef, split_key
from idlc.breaking.usage import ANYWHERE, Usage
from idlc.breaking.wire import BOTH, Types, kind_flows, moved_numbers
from idlc.text import with_article

__all__ = ["compare_declared_types"]


def compare_declared_types(types: Types, usage: Mapping[str, Usage], findings: Findings) -> None:
    """Compare all types that both snapshots have. Those that were removed are reported with their files."""
    for old_key, new_key in types.pairs.types.items():
        old, new = types.old.types[old_key], types.new.types[new_key]
        owner = Owner("field", old_key, new_key, new.name, usage.get(new_key, ANYWHERE), _retired(old))
        _compare_names(old, new, old_key, new_key, types, findings)
        match old, new:
            case Typedef(), Typedef():
                compare_types(
                    "typedef",
                    owner,
                    types,
                    findings,
                    of=f"the type of typedef `{new.name}`",
                    old=(old_key, old.type),
                    new=(new_key, new.type),
                )
            case Enum(), Enum():
                _compare_members(owner, old, new, findings)
            case Struct(), Struct():
                if old.kind != new.kind:
                    _report_struct_kind(owner, old, new, findings)
                compare_fields(owner, old.fields, new.fields, types, findings)
                if owner.usage.is_rest and new.kind == "exception":
                    compare_status(
                        f"exception `{new.name}`", old.annotations, new.annotations, old_key, new_key, findings
                    )
            case _:
                _report_kind(owner, old, new, types, findings)


def _retired(old: TypeDeclaration) -> Mapping[int, str]:
    return old.retired if isinstance(old, Struct) else {}


def _kind(type: TypeDeclaration) -> str:
    match type:
        case Typedef():
            return "typedef"
        case Enum():
            return "enum"
        case Struct():
            return type.kind


def _compare_names(
    old: TypeDeclaration, new: TypeDeclaration, old_key: str, new_key: str, types: Types, findings: Findings
) -> None:
    names = old.python or old.name, new.python or new.name
    is_moved = types.pairs.files.get(types.old.path_of[old_key]) != types.new.path_of[new_key]
    if old.name != new.name:
        if names[0] != names[1]:
            findings.add(
                "type.renamed",
                f"{_kind(new)} `{old.name}` was renamed to `{new.name}`",
                new=new_key,
                old=old_key,
                was=f"was `{old.name}`",
                help=f'`(py.name = "{names[0]}")` keeps the name in Python; values do not have it',
            )
    elif names[0] != names[1]:
        findings.add(
            "type.renamed",
            f"{_kind(new)} `{new.name}` has another name in Python: `{names[0]}` became `{names[1]}`",
            new=new_key,
            old=old_key,
        )
    if is_moved:
        findings.add(
            "type.moved",
            f"{_kind(new)} `{new.name}` was moved from `{split_key(old_key)[0]}` to `{split_key(new_key)[0]}`",
            new=new_key,
            old=old_key,
            help="a typedef of the old name keeps IDL files valid that use it; stubs need a new import",
        )


def _report_struct_kind(owner: Owner, old: Struct, new: Struct, findings: Findings) -> None:
    flows = kind_flows(old, new)
    left_out: list[Category] = [] if flows else ["WIRE", "JSON", "REST"]
    findings.add(
        "type.kind",
        f"{old.kind} `{old.name}` became {with_article(new.kind)}",
        new=owner.new,
        old=owner.old,
        categories=owner.categories("type.kind", without=left_out),
        flows=flows,
        was=f"was {with_article(old.kind)}",
        help="a union has exactly one field; values with none or several are rejected" if flows else "",
    )


def _report_kind(owner: Owner, old: TypeDeclaration, new: TypeDeclaration, types: Types, findings: Findings) -> None:
    verdict = types.compare_declared(owner.old, owner.new)
    without: list[Category] = [] if verdict.flows else ["WIRE"]
    findings.add(
        "type.kind",
        f"{_kind(old)} `{old.name}` became {with_article(_kind(new))}",
        new=owner.new,
        old=owner.old,
        categories=owner.categories("type.kind", without=without),
        flows=verdict.flows,
        was=f"was {with_article(_kind(old))}",
    )


def _compare_members(owner: Owner, old: Enum, new: Enum, findings: Findings) -> None:
    for name in moved_numbers(old, new):
        findings.add(
            "enum.member.value",
            f"the number of `{new.name}.{name}` changed from {old.members[name]} to {new.members[name]}",
            new=f"{owner.new}.{name}",
            old=f"{owner.old}.{name}",
            part="value",
            flows=BOTH,
            was=f"was {old.members[name]}",
            help="only numbers are written, so old and new programs take one member for another",
        )
    fresh = {number: name for name, number in new.members.items() if name not in old.members}
    for name, number in old.members.items():
        renamed = fresh.get(number)
        if name in new.members:
            _compare_member_names(owner, old, new, name, findings)
        elif renamed is None:
            findings.add(
                "enum.member.removed",
                f"`{old.name}.{name}` was removed",
                new=owner.new,
                old=f"{owner.old}.{name}",
                categories=owner.categories("enum.member.removed"),
                help=f"readers keep the number; do not use {number} for another member",
            )
        else:
            is_kept = old.python_members.get(name, name) == new.python_members.get(renamed, renamed)
            findings.add(
                "enum.member.renamed",
                f"`{old.name}.{name}` was renamed to `{renamed}`",
                new=f"{owner.new}.{renamed}",
                old=f"{owner.old}.{name}",
                categories=owner.categories("enum.member.renamed", without=("SOURCE",) if is_kept else ()),
                was=f"was `{name}`",
            )


def _compare_member_names(owner: Owner, old: Enum, new: Enum, name: str, findings: Findings) -> None:
    before, after = (enum.python_members.get(name, name) for enum in (old, new))
    if before != after:
        findings.add(
            "enum.member.renamed",
            f"`{new.name}.{name}` has another name in Python: `{before}` became `{after}`",
            new=f"{owner.new}.{name}",
            old=f"{owner.old}.{name}",
            categories=["SOURCE"],
        )
