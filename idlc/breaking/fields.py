"""Comparison of fields, arguments, and other places that have a type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from idlc.breaking.annotations import compare_field_annotations
from idlc.breaking.findings import Findings
from idlc.breaking.places import Part
from idlc.breaking.rules import Category, rule
from idlc.breaking.snapshot import Field, parse_type, type_names
from idlc.breaking.usage import Usage, rejects
from idlc.breaking.wire import BOTH, NEW_TO_OLD, OLD_TO_NEW, Types, match_fields

__all__ = ["Owner", "compare_fields", "compare_types"]


class Owner(msgspec.Struct, frozen=True):
    """The struct or function that fields belong to.

    Attributes:
        subject: `field` or `argument`.
        old: key of the old struct, or of the function.
        new: key of the new one.
        name: name in messages: `Order`, `Shop.find`.
        retired: ids of fields that were removed earlier.
    """

    subject: str
    old: str
    new: str
    name: str
    usage: Usage
    retired: Mapping[int, str] = {}

    def categories(self, name: str, *, without: Iterable[Category] = ()) -> list[Category]:
        """Return the categories of a rule; `REST` only of what HTTP clients can reach."""
        left_out = {*without, *(() if self.usage.is_rest else ("REST",))}
        return [each for each in rule(name).categories if each not in left_out]


def compare_fields(
    owner: Owner, old: tuple[Field, ...], new: tuple[Field, ...], types: Types, findings: Findings
) -> None:
    """Compare the fields of a struct, or the arguments of a function."""
    if old == new and not owner.retired:
        _compare_kept_types(owner, old, types, findings)
        return
    match = match_fields(old, new)
    for before, after in match.kept:
        _compare_field(owner, before, after, types, findings)
    for before, after in match.moved:
        _report_id(owner, before, after, findings)
        _compare_field(owner, before, after, types, findings)
    for field in match.removed:
        _report_removed(owner, field, findings)
    for field in match.added:
        _report_added(owner, field, findings)


def compare_types(
    prefix: str,
    owner: Owner,
    types: Types,
    findings: Findings,
    *,
    of: str,
    old: tuple[str, str],
    new: tuple[str, str],
    part: Part = "type",
    is_new_name: bool = False,
) -> bool:
    """Report a changed type; return whether it is incompatible.

    Args:
        prefix: subject of the rules: `field`, `typedef`, `result`.
        of: what changed, for the message.
        old: key of the declaration, and its type.
        new: the same of the new declaration.
        is_new_name: whether the name changed, too, so that an incompatible type makes it another field.
    """
    verdict = types.compare(old[1], new[1])
    if verdict.is_same and not verdict.flows:
        return False
    names = type_names(old[1], new[1])
    change = f"{of} changed from {names[0]} to {names[1]}"
    reason = f" ({verdict.reason})" if verdict.reason else ""
    was = f"was {names[0]}"
    if not verdict.flows:
        name = f"{prefix}.type.compatible"
        findings.add(
            name,
            change,
            new=new[0],
            old=old[0],
            part=part,
            categories=owner.categories(name),
            was=was,
            help="values are the same in `binary` and `compact`; JSON and stubs may differ",
        )
        return False
    if verdict.is_text:
        name = f"{prefix}.type.text"
        findings.add(
            name,
            f"{change}: {rejects(verdict.flows, owner.usage)} with bytes that are not UTF-8",
            new=new[0],
            old=old[0],
            part=part,
            categories=owner.categories(name),
            flows=verdict.flows,
            was=was,
            help="if all values are UTF-8, programs that use `binary` or `compact` do not notice the change",
        )
        return False
    if is_new_name:
        return True
    name = f"{prefix}.type"
    losing = rejects(verdict.flows, owner.usage, "cannot read")
    findings.add(
        name,
        f"{change}{reason}: {losing}",
        new=new[0],
        old=old[0],
        part=part,
        categories=owner.categories(name),
        flows=verdict.flows,
        was=was,
        help=f"add a {prefix} with a new id instead, and keep this one" if prefix in ("field", "argument") else "",
    )
    return True


def _compare_kept_types(owner: Owner, fields: tuple[Field, ...], types: Types, findings: Findings) -> None:
    """Compare equal fields, whose types may be others: a name of a type may have got another meaning."""
    for field in fields:
        if "#" in field.type:
            _compare_field_type(owner, field, field, types, findings)


def _compare_field_type(owner: Owner, old: Field, new: Field, types: Types, findings: Findings) -> bool:
    return compare_types(
        owner.subject,
        owner,
        types,
        findings,
        of=f"the type of {owner.subject} `{new.name}` of `{owner.name}`",
        old=(f"{owner.old}.{old.name}", old.type),
        new=(f"{owner.new}.{new.name}", new.type),
        is_new_name=old.name != new.name,
    )


def _compare_field(owner: Owner, old: Field, new: Field, types: Types, findings: Findings) -> None:
    subject, before, after = owner.subject, f"{owner.old}.{old.name}", f"{owner.new}.{new.name}"
    is_other = _compare_field_type(owner, old, new, types, findings)
    if is_other and old.name != new.name:
        name = f"{subject}.reused"
        findings.add(
            name,
            f"id {new.id} of `{owner.name}` was {subject} `{old.name}` of type `{parse_type(old.type)}`, "
            f"and is now `{new.name}` of type `{parse_type(new.type)}`",
            new=after,
            old=before,
            categories=owner.categories(name),
            flows=BOTH,
            was=f"was `{old.name}`",
            help=f"use a new id for `{new.name}`",
        )
        return
    if old.name != new.name:
        name = f"{subject}.renamed"
        is_kept = (old.python or old.name) == (new.python or new.name)
        findings.add(
            name,
            f"{subject} `{old.name}` of `{owner.name}` was renamed to `{new.name}`",
            new=after,
            old=before,
            categories=owner.categories(name, without=("SOURCE",) if is_kept else ()),
            was=f"was `{old.name}`",
            help="" if is_kept else f'`(py.name = "{old.python or old.name}")` keeps the name in Python',
        )
    elif (old.python or old.name) != (new.python or new.name):
        findings.add(
            f"{subject}.renamed",
            f"{subject} `{new.name}` of `{owner.name}` has another name in Python: "
            f"`{old.python or old.name}` became `{new.python or new.name}`",
            new=after,
            old=before,
            categories=["SOURCE"],
        )
    _compare_requiredness(owner, old, new, findings)
    if old.default != new.default:
        name = f"{subject}.default"
        findings.add(
            name,
            f"the default of {subject} `{new.name}` of `{owner.name}` changed "
            f"from {_shown(old.default)} to {_shown(new.default)}",
            new=after,
            old=before,
            part="default",
            categories=owner.categories(name),
            was=f"was {_shown(old.default)}",
        )
    compare_field_annotations(owner.name, owner.usage, old, new, before, after, findings)


def _shown(default: str | None) -> str:
    if default is None:
        return "none"
    return f"`{default}`" if len(default) <= 40 else f"`{default[:37]}...`"


def _is_mandatory(argument: Field) -> bool:
    """Return whether callers must pass an argument, although readers do not insist on it."""
    return argument.requiredness == "default" and argument.default is None


def _compare_requiredness(owner: Owner, old: Field, new: Field, findings: Findings) -> None:
    was_optional = old.requiredness == "optional" and old.default is None
    if owner.subject == "argument" and was_optional and _is_mandatory(new):
        findings.add(
            "argument.mandatory",
            f"argument `{new.name}` of `{owner.name}` is no longer `optional`: callers must pass it",
            new=f"{owner.new}.{new.name}",
            old=f"{owner.old}.{old.name}",
            part="requiredness",
            was="was optional",
            help="keep `optional`",
        )
    if old.is_required == new.is_required:
        return
    subject, place = owner.subject, f"{owner.new}.{new.name}"
    if new.is_required:
        name = f"{subject}.required"
        findings.add(
            name,
            f"{subject} `{new.name}` of `{owner.name}` became `required`: "
            f"{rejects(OLD_TO_NEW, owner.usage)} without it",
            new=place,
            old=f"{owner.old}.{old.name}",
            part="requiredness",
            categories=owner.categories(name),
            flows=OLD_TO_NEW,
            was=f"was {'optional' if old.requiredness == 'optional' else 'not `required`'}",
        )
    else:
        name = f"{subject}.optional"
        findings.add(
            name,
            f"{subject} `{new.name}` of `{owner.name}` is no longer `required`: "
            f"{rejects(NEW_TO_OLD, owner.usage)} without it",
            new=place,
            old=f"{owner.old}.{old.name}",
            part="requiredness",
            categories=owner.categories(name),
            flows=NEW_TO_OLD,
            was="was `required`",
            help="old readers need the field: keep writing it until all of them are updated",
        )


def _report_id(owner: Owner, old: Field, new: Field, findings: Findings) -> None:
    subject = owner.subject
    is_automatic = old.id < 0 or new.id < 0
    findings.add(
        f"{subject}.id",
        f"the id of {subject} `{new.name}` of `{owner.name}` changed from {_id(old)} to {_id(new)}: "
        f"{rejects(BOTH, owner.usage, 'misread')}",
        new=f"{owner.new}.{new.name}",
        old=f"{owner.old}.{old.name}",
        part="id",
        flows=BOTH,
        was=f"was {_id(old)}",
        help="fields without an id in the IDL are numbered by their position; write ids" if is_automatic else "",
    )


def _id(field: Field) -> str:
    return str(field.id) if field.id > 0 else f"{field.id} (automatic)"


def _report_removed(owner: Owner, field: Field, findings: Findings) -> None:
    subject, name = owner.subject, f"{owner.subject}.removed"
    if field.is_required:
        findings.add(
            name,
            f"`required` {subject} `{field.name}` of `{owner.name}` was removed: "
            f"{rejects(NEW_TO_OLD, owner.usage)} without it",
            new=owner.new,
            old=f"{owner.old}.{field.name}",
            categories=owner.categories(name),
            flows=NEW_TO_OLD,
            help="make it optional first; remove it when no reader requires it",
        )
        return
    findings.add(
        name,
        f"{subject} `{field.name}` of `{owner.name}` was removed",
        new=owner.new,
        old=f"{owner.old}.{field.name}",
        categories=owner.categories(name, without=("WIRE",)),
        help=f"readers skip it; do not use id {field.id} again" if field.id > 0 else "",
    )


def _report_added(owner: Owner, field: Field, findings: Findings) -> None:
    place = f"{owner.new}.{field.name}"
    if field.id in owner.retired:
        findings.add(
            "field.retired",
            f"id {field.id} of `{owner.name}` belonged to `{owner.retired[field.id]}`, which was removed earlier",
            new=place,
            part="id",
            categories=["WIRE", "JSON"],
            flows=BOTH,
            help="old values may still have the removed field; use a new id",
        )
    if field.is_required:
        name = f"{owner.subject}.required.added"
        findings.add(
            name,
            f"`required` {owner.subject} `{field.name}` was added to `{owner.name}`: "
            f"{rejects(OLD_TO_NEW, owner.usage)} without it",
            new=place,
            part="requiredness",
            categories=owner.categories(name),
            flows=OLD_TO_NEW,
            help="remove `required`",
        )
    elif owner.subject == "argument" and _is_mandatory(field):
        findings.add(
            "argument.added",
            f"argument `{field.name}` was added to `{owner.name}`: callers must pass it",
            new=place,
            help="make it `optional`, or give it a default",
        )
