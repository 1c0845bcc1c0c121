"""Signatures of handlers: whether they take a method's arguments, and what they get for absent ones.

A caller may leave out arguments that the IDL does not mark `required`, because it was compiled before they were added,
or because it gave none. In this order such an argument is:

1. the IDL's default; the codec has filled it in, so nothing here sees it;
2. the default of the handler's own parameter (`limit: int = 10`);
3. `None`, if the parameter's annotation allows it, or there is none;
4. a refusal of the call, which names the argument and says what to do.

All of it is decided when a handler is bound, once for each method. Annotations that cannot be evaluated (names that are
imported for type checkers only) are judged by their text.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from idlrt.errors import RemoteProtocolError
from idlrt.spec import Method

__all__ = ["REFUSED", "complete", "mismatch", "substitutes"]

_Parameter = inspect.Parameter

REFUSED: Final[Any] = type("_Refused", (), {})()
"""What `substitutes` has for an argument without which the handler cannot be called."""


def mismatch(method: Method[..., Any], function: Callable[..., Any]) -> str | None:
    """Why `function` cannot be called with the arguments of `method` by position; `None` if it can.

    A function that does not tell its signature (one written in C, say) is taken as it is.
    """
    # What is called is the function itself, whatever `functools.wraps` says that it wraps.
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
    """What takes the place of each argument that a caller left out: a value, `None`, or `REFUSED`.

    Args:
        is_relay: `function` is a method of a client, which leaves out in its turn what it is given as `None`.

    Returns:
        an empty tuple if arguments can go to the handler as they are read: `None` where they are absent.
    """
    if is_relay:
        return ()
    parameters = _parameters(method, function)
    found = [
        # `None` is what such an argument may be anyway, says the IDL or the stub of idlc 0.1.0.
        _substitute(parameter, refused=REFUSED if is_needed else None)
        if default is None and not field.is_required
        else None
        for field, default, is_needed, parameter in zip(
            method.arguments, method.defaults, method.has_to_be_given, parameters, strict=True
        )
    ]
    return tuple(found) if any(each is not None for each in found) else ()


def complete(method: Method[..., Any], arguments: Sequence[Any], instead: Sequence[Any]) -> tuple[Any, ...]:
    """`arguments` with what `substitutes` found for those that are `None`.

    Raises:
        RemoteProtocolError: the handler cannot be called without one of them.
    """
    whole = tuple(other if value is None else value for value, other in zip(arguments, instead, strict=True))
    missing = [repr(field.attribute) for field, value in zip(method.arguments, whole, strict=True) if value is REFUSED]
    if missing:
        names = " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
        what = f"{'arguments' if missing[1:] else 'argument'} {names} left out by the caller"
        fix = f"give {names} a default in the handler or in the IDL to accept such calls"
        raise RemoteProtocolError(f"cannot call {method.full_name}: {what}; {fix}")
    return whole


def _substitute(parameter: inspect.Parameter | None, *, refused: Any) -> Any:
    if parameter is None or parameter.kind is _Parameter.VAR_POSITIONAL:
        return None
    if parameter.default is not _Parameter.empty:
        return parameter.default
    return None if parameter.annotation is _Parameter.empty or _allows_none(parameter.annotation) else refused


def _parameters(method: Method[..., Any], function: Callable[..., Any]) -> list[inspect.Parameter | None]:
    """The parameter that takes each argument; `None` where that is not known."""
    own = _signature(function, follow_wrapped=False)
    if own is None:
        return [None] * len(method.arguments)
    places = _positional(own.parameters.values())
    found: list[inspect.Parameter | None] = [*places[: len(method.arguments)]]
    found += [None] * (len(method.arguments) - len(found))
    wrapped = _signature(function, follow_wrapped=True) if hasattr(function, "__wrapped__") else None
    if wrapped is not None:
        # A decorator takes `*args`, and may add arguments of its own: names tell which parameter is meant.
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
    except Exception:  # noqa: BLE001  # an annotation can be any expression
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
