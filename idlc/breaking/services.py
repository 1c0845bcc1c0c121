"""Comparison of services and their functions."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from idlc.breaking.annotations import compare_routes
from idlc.breaking.fields import Owner, compare_fields, compare_types
from idlc.breaking.findings import Findings
from idlc.breaking.pairing import pair_functions
from idlc.breaking.rules import Category, rule
from idlc.breaking.snapshot import Field, Function, Service, parse_type, split_key, type_names
from idlc.breaking.usage import REQUEST, RESPONSE, Usage, has_routes
from idlc.breaking.wire import BOTH, NEW_TO_OLD, OLD_TO_NEW, Flows, Types, match_fields

__all__ = ["compare_services"]


class _Place(msgspec.Struct, frozen=True):
    """A function and the key of the service that declares it."""

    service: str
    function: Function

    @property
    def key(self) -> str:
        return f"{self.service}.{self.function.name}"

    def label(self) -> str:
        """Return the name in messages: `Shop.find`."""
        return f"{split_key(self.service)[1]}.{self.function.name}"


def compare_services(types: Types, findings: Findings) -> None:
    """Compare all services that both snapshots have. Those that were removed are reported with their files."""
    compared: set[tuple[str, str]] = set()
    for old_key, new_key in types.pairs.services.items():
        old, new = types.old.services[old_key], types.new.services[new_key]
        _compare_service(old, new, old_key, new_key, types, findings)
        before, after = _functions(types.old.bases(old_key)), _functions(types.new.bases(new_key))
        gone = [place for name, place in before.items() if name not in after]
        fresh = [place for name, place in after.items() if name not in before]
        renamed = pair_functions([place.function for place in gone], [place.function for place in fresh], types.same)
        bases = {key for key, _ in types.new.bases(new_key)}
        for name, place in before.items():
            other = after.get(name) or after.get(renamed.get(name, ""))
            if other is None:
                # A function that the base has lost is reported there.
                if place.service == old_key or types.pairs.services.get(place.service) not in bases:
                    _report_removed(place, new_key, split_key(new_key)[1], findings)
            elif (place.key, other.key) not in compared:
                compared.add((place.key, other.key))
                _compare_function(place, other, types, findings)


def _functions(bases: Iterable[tuple[str, Service]]) -> dict[str, _Place]:
    found: dict[str, _Place] = {}
    for key, service in bases:
        for function in service.functions:
            found.setdefault(function.name, _Place(key, function))
    return found


def _compare_service(old: Service, new: Service, old_key: str, new_key: str, types: Types, findings: Findings) -> None:
    names = old.python or old.name, new.python or new.name
    if old.name != new.name:
        findings.add(
            "service.renamed",
            f"service `{old.name}` was renamed to `{new.name}`",
            new=new_key,
            old=old_key,
            categories=["WIRE", "JSON"] if names[0] == names[1] else None,
            was=f"was `{old.name}`",
            help="registries and multiplexing use the name; serve both names until all clients are updated",
        )
    elif names[0] != names[1]:
        findings.add(
            "service.renamed",
            f"service `{new.name}` has another name in Python: `{names[0]}` became `{names[1]}`",
            new=new_key,
            old=old_key,
            categories=["SOURCE"],
        )
    if types.pairs.files.get(types.old.path_of[old_key]) != types.new.path_of[new_key]:
        findings.add(
            "service.moved",
            f"service `{new.name}` was moved from `{split_key(old_key)[0]}` to `{split_key(new_key)[0]}`",
            new=new_key,
            old=old_key,
        )
    kept = types.pairs.services.get(old.extends) if old.extends is not None else None
    if old.extends is not None and kept != new.extends and kept not in {key for key, _ in types.new.bases(new_key)}:
        base = split_key(old.extends)[1]
        change = f"no longer extends `{base}`"
        if new.extends is not None:
            change = f"extends `{split_key(new.extends)[1]}` instead of `{base}`"
        findings.add(
            "service.extends",
            f"service `{new.name}` {change}",
            new=new_key,
            old=old_key,
            part="extends",
            was=f"extended `{base}`",
        )


def _report_removed(place: _Place, service: str, name: str, findings: Findings) -> None:
    is_inherited = split_key(place.service)[1] != name and place.service != service
    origin = f", which it inherited from `{split_key(place.service)[1]}`" if is_inherited else ""
    left_out: list[Category] = [] if has_routes(place.function) else ["REST"]
    findings.add(
        "function.removed",
        f"function `{place.function.name}` of `{name}`{origin} was removed: new servers reject calls of old clients",
        new=service,
        old=place.key,
        categories=[each for each in rule("function.removed").categories if each not in left_out],
        flows=OLD_TO_NEW,
    )


def _compare_function(old: _Place, new: _Place, types: Types, findings: Findings) -> None:
    before, after = old.function, new.function
    names = before.python or before.name, after.python or after.name
    if before.name != after.name:
        findings.add(
            "function.renamed",
            f"function `{old.label()}` was renamed to `{after.name}`: new servers reject calls of old clients",
            new=new.key,
            old=old.key,
            categories=["WIRE", "JSON"] if names[0] == names[1] else None,
            flows=OLD_TO_NEW,
            was=f"was `{before.name}`",
            help="keep the old function until no client calls it",
        )
    elif names[0] != names[1]:
        findings.add(
            "function.renamed",
            f"function `{new.label()}` has another name in Python: `{names[0]}` became `{names[1]}`",
            new=new.key,
            old=old.key,
            categories=["SOURCE"],
        )
    is_rest = has_routes(before)
    arguments = Owner("argument", old.key, new.key, new.label(), REQUEST | Usage(is_rest=is_rest))
    compare_fields(arguments, _as_enforced(before), _as_enforced(after), types, findings)
    _compare_order(arguments, before, after, findings)
    if before.oneway != after.oneway:
        _report_oneway(old, new, findings)
    else:
        _compare_results(old, new, types, findings)
    _compare_throws(old, new, types, findings)
    compare_routes(new.label(), before, after, old.key, new.key, findings)


def _as_enforced(function: Function) -> tuple[Field, ...]:
    """Return the arguments; those with a default may be absent, whatever the IDL says, unlike fields of structs."""
    return tuple(
        msgspec.structs.replace(each, requiredness="default") if each.is_required and each.default is not None else each
        for each in function.arguments
    )


def _compare_order(owner: Owner, old: Function, new: Function, findings: Findings) -> None:
    """Report arguments that are at another position in signatures."""
    names = [field.python or field.name for field in new.arguments]
    before = [name for field in old.arguments if (name := field.python or field.name) in names]
    after = names[: len(before)]
    if before != after:
        is_added = sorted(before) != sorted(after)
        findings.add(
            "argument.order",
            f"the order of the arguments of `{owner.name}` changed from ({', '.join(before)}) to ({', '.join(names)})",
            new=owner.new,
            old=owner.old,
            help="callers may pass arguments by position; "
            + ("add new ones at the end" if is_added else "keep the order"),
        )


def _report_oneway(old: _Place, new: _Place, findings: Findings) -> None:
    is_oneway = new.function.oneway
    flows = NEW_TO_OLD if is_oneway else OLD_TO_NEW
    change = "became" if is_oneway else "is no longer"
    waiting = "old clients wait for new servers" if is_oneway else "new clients wait for old servers"
    findings.add(
        "function.oneway",
        f"function `{new.label()}` {change} `oneway`: {waiting}, which send no response",
        new=new.key,
        old=old.key,
        part="oneway",
        flows=flows,
        was="was not `oneway`" if is_oneway else "was `oneway`",
        help="add a function with another name instead",
    )


def _compare_results(old: _Place, new: _Place, types: Types, findings: Findings) -> None:
    before, after = old.function.result, new.function.result
    owner = Owner("result", old.key, new.key, new.label(), RESPONSE | Usage(is_rest=has_routes(old.function)))
    if before is not None and after is not None:
        compare_types(
            "result",
            owner,
            types,
            findings,
            of=f"the result of `{new.label()}`",
            old=(old.key, before),
            new=(new.key, after),
        )
    elif before != after:
        names = [f"`{parse_type(each)}`" if each is not None else "`void`" for each in (before, after)]
        readers = "old clients and new servers" if after is None else "new clients and old servers"
        findings.add(
            "result.type",
            f"the result of `{new.label()}` changed from {names[0]} to {names[1]}: "
            f"calls between {readers} fail with a missing result",
            new=new.key,
            old=old.key,
            part="type",
            categories=owner.categories("result.type"),
            flows=NEW_TO_OLD if after is None else OLD_TO_NEW,
            was=f"was {names[0]}",
        )


def _compare_throws(old: _Place, new: _Place, types: Types, findings: Findings) -> None:
    match = match_fields(old.function.throws, new.function.throws)
    for before, after in match.kept:
        _compare_exceptions(old, new, before, after, types, findings)
    for before, after in match.moved:
        _report_throws("id", old, new, before, after, f"changed its id from {before.id} to {after.id}", BOTH, findings)
        _compare_exceptions(old, new, before, after, types, findings)
    for field in match.removed:
        findings.add(
            "throws.removed",
            f"`{new.label()}` no longer throws `{parse_type(field.type)}`, which new clients do not know",
            new=new.key,
            old=f"{old.key}.{field.name}",
            flows=OLD_TO_NEW,
        )
    for field in match.added:
        silent = new.function.result is None
        findings.add(
            "throws.added",
            f"`{new.label()}` throws `{parse_type(field.type)}`, which old clients "
            + ("take for success" if silent else "report as a missing result"),
            new=f"{new.key}.{field.name}",
            flows=NEW_TO_OLD,
            help="throw it in a new function, or only when the request has a new field",
        )


def _compare_exceptions(
    old: _Place, new: _Place, before: Field, after: Field, types: Types, findings: Findings
) -> None:
    verdict = types.compare(before.type, after.type)
    if verdict.is_same and not verdict.flows:
        return
    names = type_names(before.type, after.type)
    # An exception that was replaced by another with the same fields, and no longer exists, was renamed.
    flows = BOTH if types.is_other(parse_type(before.type), parse_type(after.type)) else verdict.flows
    change = f"is {names[1]} instead of {names[0]}"
    _report_throws("type", old, new, before, after, change, flows, findings)


def _report_throws(
    kind: str, old: _Place, new: _Place, before: Field, after: Field, change: str, flows: Flows, findings: Findings
) -> None:
    findings.add(
        f"throws.{kind}",
        f"exception `{after.name}` of `{new.label()}` {change}",
        new=f"{new.key}.{after.name}",
        old=f"{old.key}.{before.name}",
        part="id" if kind == "id" else "type",
        categories=None if flows else ["SOURCE"],
        flows=flows,
        was=f"was {before.id}" if kind == "id" else f"was `{parse_type(before.type)}`",
    )
