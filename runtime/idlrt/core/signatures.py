"""Signatures of handlers: compatibility with the IDL, and substitutes for omitted arguments.

A caller may omit arguments that the IDL does not mark `required`, because it was compiled before they were added or
because it passed none. The handler then receives the first of:

1. the default in the IDL, which the codec has already filled in;
2. the default of the handler's parameter (`limit: int = 10`);
3. `None`, if the annotation of the parameter allows it or there is no annotation.

Otherwise the call is rejected with an error that names the argument and the fix.

All of this is computed once per method, when a handler is bound. Annotations that cannot be evaluated (names that are
imported for type checkers only) are parsed as text.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from idlrt.errors import RemoteProtocolError
from idlrt.spec import Method

__all__ = ["MISSING", "complete", "mismatch", "substitutes"]

_Parameter = inspect.Parameter

MISSING: Final[Any] = type("_Refused", (), {})()
"""Marker in `substitutes` for an argument that the handler requires."""


def mismatch(method: Method[..., Any], function: Callable[..., Any]) -> str | None:
    """Return why `function` cannot be called with the arguments of `method` by position; `None` if it can.

    A function without an introspectable signature (e.g. one written in C) is assumed to be compatible.
    """
    # The outermost function is the one that is called, whatever it wraps (`functools.wraps`).
    signature = _signature(function, follow_wrapped=False)
    if signature is None:
        return None
    try:
        signature.bind(*method.arguments)
    except TypeError:
        wanted = ", ".join(field.attribute for field in method.arguments)
        plain = [each.replace(annotation=_Parameter.empty) for each in signature.parameters.values()]
        return f"{method.attribute}{inspect.Signature(plain)} must accept the arguments ({wanted})"
    return None


def substitutes(method: Method[..., Any], function: Callable[..., Any], *, is_relay: bool = False) -> tuple[Any, ...]:
    """Return the substitute for each argument if the caller omits it: a value, `None`, or `MISSING`.

    Args:
        is_relay: whether `function` is a method of a client, which in turn omits arguments that are `None`.

    Returns:
        An empty tuple if all substitutes are `None`, so that decoded arguments can be passed unchanged.
    """
    if is_relay:
        return ()
    parameters = _parameters(method, function)
    found = [
        # Unless the argument is mandatory, the stub (of this version or of idlc 0.1.0) types it as optional anyway.
        _substitute(parameter, refused=MISSING if is_needed else None)
        if default is None and not field.is_required
        else None
        for field, default, is_needed, parameter in zip(
            method.arguments, method.defaults, method.mandatory, parameters, strict=True
        )
    ]
    return tuple(found) if any(each is not None for each in found) else ()


def complete(method: Method[..., Any], arguments: Sequence[Any], instead: Sequence[Any]) -> tuple[Any, ...]:
    """Return `arguments` with substitutes for those that are `None`.

    Raises:
        RemoteProtocolError: the caller omitted an argument that the handler requires.
    """
    whole = tuple(other if value is None else value for value, other in zip(arguments, instead, strict=True))
    missing = [repr(field.attribute) for field, value in zip(method.arguments, whole, strict=True) if value is MISSING]
    if missing:
        names = " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
        what = f"missing {'arguments' if missing[1:] else 'argument'} {names}"
        fix = f"to make {'them' if missing[1:] else 'it'} optional, add a default in the handler or in the IDL"
        raise RemoteProtocolError(f"cannot call {method.full_name}: {what}; {fix}")
    return whole


def _substitute(parameter: inspect.Parameter | None, *, refused: Any) -> Any:
    if parameter is None or parameter.kind is _Parameter.VAR_POSITIONAL:
        return None
    if parameter.default is not _Parameter.empty:
        return parameter.default
    return None if parameter.annotation is _Parameter.empty or _allows_none(parameter.annotation) else refused


def _parameters(method: Method[..., Any], function: Callable[..., Any]) -> list[inspect.Parameter | None]:
    """Return the parameter that receives each argument; `None` where it is unknown."""
    own = _signature(function, follow_wrapped=False)
    if own is None:
        return [None] * len(method.arguments)
    places = _positional(own.parameters.values())
    found: list[inspect.Parameter | None] = [*places[: len(method.arguments)]]
    found += [None] * (len(method.arguments) - len(found))
    wrapped = _signature(function, follow_wrapped=True) if hasattr(function, "__wrapped__") else None
    if wrapped is not None:
        # A decorator takes `*args` and may add its own arguments, so match the wrapped parameters by name.
        for index, field in enumerate(method.arguments):
            inner = wrapped.parameters.get(field.attribute)
            found[index] = found[index] or inner
    return found


def _positional(parameters: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
    by_position = (_Parameter.POSITIONAL_ONLY, _Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter for parameter in parameters if parameter.kind in by_position]


def _signature(function: Callable[..., Any], *, follow_wrapped: bool) -> inspect.Signature | None:
    try:
        return inspect.signature(function, follow_wrapped=follow_wrapped, eval_str=True)
    except Exception:  # noqa: BLE001  # annotations are arbitrary expressions
        pass
    try:
        return inspect.signature(function, follow_wrapped=follow_wrapped)
    except (ValueError, TypeError):
        return None


def _allows_none(annotation: Any) -> bool:
    if isinstance(annotation, str):
        try:
            return _text_allows_none(ast.parse(annotation.strip(), mode="eval").body)
        except SyntaxError:
            return False
    if annotation is None or annotation is NoneType or annotation is Any or annotation is object:
        return True
    if isinstance(annotation, TypeVar):
        return annotation.__bound__ is None and not annotation.__constraints__
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Union or origin is UnionType:
        return any(map(_allows_none, inner))
    if origin is Annotated:
        return _allows_none(inner[0])
    if origin is Literal:
        return None in inner
    # `type Maybe = int | None` of Python 3.12.
    alias = getattr(annotation, "__value__", None)
    return alias is not None and _allows_none(alias)


def _text_allows_none(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=None):
            return True
        case ast.Constant(value=str() as text):
            return _allows_none(text)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _text_allows_none(left) or _text_allows_none(right)
        case ast.Subscript(value=outer, slice=inner):
            name = _last_name(outer)
            if name == "Union" and isinstance(inner, ast.Tuple):
                return any(map(_text_allows_none, inner.elts))
            return name == "Optional"
        case ast.Name() | ast.Attribute():
            return _last_name(node) in ("Any", "object")
        case _:
            return False


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""
