"""Comparison of annotations that clients notice: HTTP routes and places, keys in JSON, and constraints."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Final

from idlc.breaking.findings import Findings
from idlc.breaking.snapshot import Field, Function, Values
from idlc.breaking.usage import Usage, has_routes

__all__ = ["compare_field_annotations", "compare_routes", "compare_status"]

_PLACES: Final = (
    "http.path",
    "http.query",
    "http.header",
    "http.cookie",
    "http.body",
    "http.form",
    "http.raw_body",
    "http.none",
)
_KEYS: Final = ("http.name", "http.as_text")
_STATUS: Final = "http.status"
_FLAGS: Final = ("defined_only", "no_sparse", "not_nil")
_AT_LEAST: Final = ("gt", "ge", "min_size", "min_rune_size")
_AT_MOST: Final = ("lt", "le", "max_size", "max_rune_size")


def compare_field_annotations(
    owner: str, usage: Usage, old: Field, new: Field, old_key: str, new_key: str, findings: Findings
) -> None:
    """Compare the annotations of a field or an argument."""
    if old.annotations == new.annotations:
        return
    what = f"`{new.name}` of `{owner}`"
    before, after = set(_given(old.annotations, _PLACES)), set(_given(new.annotations, _PLACES))
    if before != after and (not before or before - after):
        findings.add(
            "http.place",
            f"the place of {what} in HTTP messages changed from {_listed(before)} to {_listed(after)}",
            new=new_key,
            old=old_key,
            part="annotations",
            help="keep the old place, too: a field may have several",
        )
    if set(_given(old.annotations, (_STATUS,))) != set(_given(new.annotations, (_STATUS,))):
        findings.add(
            "http.status",
            f"`http.status` was {'added to' if _STATUS in new.annotations else 'removed from'} {what}",
            new=new_key,
            old=old_key,
            part="annotations",
        )
    keys = [set(_given(each.annotations, _KEYS)) for each in (old, new)]
    if keys[0] != keys[1]:
        findings.add(
            "http.name",
            f"the form of {what} in JSON changed from {_listed(keys[0])} to {_listed(keys[1])}",
            new=new_key,
            old=old_key,
            part="annotations",
            categories=["REST"] if usage.is_rest else ["JSON"],
        )
    for constraint, change in _stricter(old.annotations, new.annotations):
        findings.add(
            "constraint",
            f"`{constraint}` {change} {what}",
            new=new_key,
            old=old_key,
            part="annotations",
            categories=["REST"] if usage.is_rest else ["SOURCE"],
            help="values that were valid may be rejected",
        )


def compare_routes(name: str, old: Function, new: Function, old_key: str, new_key: str, findings: Findings) -> None:
    """Compare the HTTP routes and the status of a function."""
    if old.annotations == new.annotations:
        return
    before, after = list(_routes(old)), list(_routes(new))
    gone = [route for route in before if route not in after]
    fresh = [route for route in after if route not in before]
    for index, route in enumerate(gone):
        replaced = len(gone) == len(fresh)
        change = f"changed to `{fresh[index]}`" if replaced else "was removed"
        findings.add(
            "http.route",
            f"route `{route}` of `{name}` {change}",
            new=new_key,
            old=old_key,
            part="annotations",
            help="a function may have several routes: keep the old one until no client uses it",
        )
    if has_routes(old):
        compare_status(f"function `{name}`", old.annotations, new.annotations, old_key, new_key, findings)


def compare_status(what: str, old: Values, new: Values, old_key: str, new_key: str, findings: Findings) -> None:
    """Compare the HTTP status of a function or an exception."""
    before, after = (" ".join(values.get(_STATUS, ("the default",))) for values in (old, new))
    if before != after:
        findings.add(
            "http.status",
            f"the HTTP status of {what} changed from {before} to {after}",
            new=new_key,
            old=old_key,
            part="annotations",
        )


def _routes(function: Function) -> Iterator[str]:
    for name, values in function.annotations.items():
        if name.startswith("http.") and name != _STATUS:
            yield from (f"{name.removeprefix('http.').upper()} {value}" for value in values)


def _given(annotations: Values, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        for value in annotations.get(name, ()):
            yield f'{name} = "{value}"' if value else name


def _listed(annotations: set[str]) -> str:
    return ", ".join(f"`{each}`" for each in sorted(annotations)) or "the default"


def _stricter(old: Values, new: Values) -> Iterator[tuple[str, str]]:
    """Yield the constraints that reject values that were valid: as in the IDL, and how they changed."""
    for name, values in new.items():
        if name.startswith("vt.") and _is_stricter(name, old, new):
            earlier = old.get(name)
            change = "was added to" if earlier is None else f"is stricter than `{', '.join(earlier)}` for"
            yield f'{name} = "{", ".join(values)}"', change
    for name, values in old.items():
        if name.startswith("vt.") and name.endswith(".skip") and name not in new and _is_on(values):
            yield f'{name} = "{", ".join(values)}"', "was removed from"


def _is_stricter(name: str, old: Values, new: Values) -> bool:
    kind = name.rpartition(".")[2]
    before, after = old.get(name), new[name]
    if before == after:
        return False
    if kind in _FLAGS:
        return _is_on(after) and not _is_on(before)
    if kind == "skip":
        return _is_on(before) and not _is_on(after)
    if kind == "in":
        return before is None or not {*before} <= {*after}
    if kind == "not_in":
        return not {*after} <= {*(before or ())}
    for kinds, sign in ((_AT_LEAST, 1), (_AT_MOST, -1)):
        if kind in kinds:
            return _is_tighter(name, old, new, kinds if kind in kinds[:2] else (kind,), sign)
    return True


def _is_on(flag: tuple[str, ...] | None) -> bool:
    return flag is not None and flag[-1] != "false"


def _is_tighter(name: str, old: Values, new: Values, kinds: tuple[str, ...], sign: int) -> bool:
    """Whether a bound admits less than what the old constraints admit; `gt` and `ge` are one bound.

    Args:
        kinds: constraints that set the bound.
        sign: 1 of a lower bound, -1 of an upper one.
    """
    part = name.rpartition(".")[0]
    try:
        bound = _bound(name, new[name], sign)
        others = [_bound(each, old[each], sign) for kind in kinds if (each := f"{part}.{kind}") in old]
    except InvalidOperation:  # an expression, which refers to other fields
        return True
    return bound > max(others) if others else True


def _bound(name: str, values: tuple[str, ...], sign: int) -> tuple[Decimal, bool]:
    """Return a bound so that the tighter of two is greater: its value, and whether that itself is excluded."""
    return sign * Decimal(values[-1]), name.endswith((".gt", ".lt"))
