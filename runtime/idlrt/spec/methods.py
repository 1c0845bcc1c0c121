"""Methods and services, as descriptions.

A `Method` takes its Python signature from the service's Protocol, so a client that calls it is checked
against the one place that says what the function looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar

from idlrt.spec.fields import NO_DEFAULT, Argument, Field
from idlrt.spec.types import Type

__all__ = ["Method", "Service", "method", "service"]

P = ParamSpec("P")
R = TypeVar("R")

_NOTHING: Final[Mapping[str, str]] = {}


class Method(Generic[P, R]):
    """One function of a service.

    Attributes:
        name: its name on the wire.
        attribute: its name in Python (`name`, unless that is taken).
        arguments: in the order of the Python parameters.
        defaults: for each argument its value when a caller leaves it out: a value, a function that makes one (values
            of Thrift types are never callable), or `None` for nothing.
        has_to_be_given: for each argument whether a Python caller has to give it. `None` may be given for those that
            are not required on the wire, and is left out there.
        result: its result type, `VOID` for none.
        throws: the exceptions that the IDL declares for it.
        is_oneway: nothing comes back, not even an error.
        is_idempotent: whether doing it twice is the same as doing it once, so that it may be tried again although it
            may have been done.
        policy: what the IDL says of its calls, as text by the keys of a configuration.
        service: name of the service that declares it; set when the service is described.
    """

    __slots__ = (
        "arguments", "attribute", "codecs", "defaults", "has_to_be_given", "is_idempotent", "is_oneway", "name",
        "policy", "result", "service", "throws",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        *arguments: Field[Any],
        result: Type[R],
        throws: tuple[Field[Any], ...] = (),
        is_oneway: bool = False,
        is_idempotent: bool = False,
        attribute: str | None = None,
        defaults: tuple[Any, ...] = (),
        policy: Mapping[str, str] = _NOTHING,
    ) -> None:
        self.name = name
        self.attribute = attribute if attribute is not None else name
        self.arguments = arguments
        said = (NO_DEFAULT,) * (len(arguments) - len(defaults)) + defaults
        chosen = [_default(field, default) for field, default in zip(arguments, said, strict=True)]
        self.defaults = tuple(None if default is NO_DEFAULT else default for default in chosen)
        self.has_to_be_given = tuple(default is NO_DEFAULT for default in chosen)
        self.result = result
        self.throws = throws
        self.is_oneway = is_oneway
        self.is_idempotent = is_idempotent
        self.policy = policy
        self.service = ""
        self.codecs: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<Method {self.full_name}>"

    @property
    def full_name(self) -> str:
        """`Service.method`, for messages and measurements."""
        return f"{self.service}.{self.name}" if self.service else self.name


def _default(field: Field[Any], said: Any) -> Any:
    """The default of an argument. `said` is that of the signature: stubs of idlc 0.1.0 have it nowhere else."""
    if isinstance(field, Argument) and field.default is not NO_DEFAULT:
        return field.default
    if field.is_required or isinstance(field, Argument):
        return said
    return None if said is NO_DEFAULT else said


def method(
    function: Callable[Concatenate[Any, P], R],
    /,
    *arguments: Field[Any],
    result: Type[R],
    throws: tuple[Field[Any], ...] = (),
    oneway: bool = False,
    idempotent: bool = False,
    policy: Mapping[str, str] = _NOTHING,
    name: str | None = None,
) -> Method[P, R]:
    """Describe a function of a service.

    Args:
        function: the function of the service's Protocol; its signature becomes the method's.
        arguments: its fields, in the order of the parameters.
        policy: what the IDL says of its calls: `{"timeout": "0.5"}`.
        name: its name on the wire, where that differs from the one in Python.
    """
    attribute = function.__name__
    return Method(
        name if name is not None else attribute,
        *arguments,
        result=result,
        throws=throws,
        is_oneway=oneway,
        is_idempotent=idempotent,
        attribute=attribute,
        defaults=function.__defaults__ or (),
        policy=policy,
    )


class Service:
    """A service: its name and all its methods by wire name, inherited ones included."""

    __slots__ = ("extends", "methods", "name")

    def __init__(self, name: str, *methods: Method[..., Any], extends: Service | None = None) -> None:
        self.name = name
        self.extends = extends
        self.methods: dict[str, Method[..., Any]] = dict(extends.methods) if extends is not None else {}
        for each in methods:
            each.service = name
            self.methods[each.name] = each

    def __repr__(self) -> str:
        return f"<Service {self.name}>"


class _Described(Protocol):
    __thrift_service__: Service


def service(name: str, *methods: Method[..., Any], extends: type[_Described] | None = None) -> Service:
    """Describe a service.

    Args:
        extends: the client class of the service that it extends.
    """
    return Service(name, *methods, extends=extends.__thrift_service__ if extends is not None else None)
