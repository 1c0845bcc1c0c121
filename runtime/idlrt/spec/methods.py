"""Descriptions of methods and services.

A `Method` has the Python signature of the service's Protocol as its type, so type checkers check clients and handlers
against the same declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar

from idlrt.spec.annotations import NO_ANNOTATIONS, Annotations, check_annotations
from idlrt.spec.fields import NO_DEFAULT, Argument, Field
from idlrt.spec.types import Type, VoidType

__all__ = ["Method", "Service", "method", "service"]

P = ParamSpec("P")
R = TypeVar("R")

_NO_POLICY: Final[Mapping[str, str]] = {}


class Method(Generic[P, R]):
    """Description of a method.

    Attributes:
        name: name on the wire.
        attribute: name in Python (`name`, unless that is reserved).
        arguments: arguments in the order of the Python parameters.
        defaults: for each argument, its value if the caller omits it: a value, a factory (values of Thrift types are
            never callable), or `None` for no default.
        mandatory: for each argument, whether Python callers must pass it. They may pass `None` for arguments that
            are not required on the wire; it is not written.
        result: result type, `VOID` for none.
        throws: exceptions that the IDL declares for it.
        is_oneway: whether the server sends no response, not even an error.
        is_idempotent: whether it is safe to retry when the outcome is unknown.
        policy: call settings in the IDL, as text by configuration key.
        annotations: annotations in the IDL, such as `http.get` or those of a program; see `idlrt.annotations`.
        service_annotations: annotations of the service that declares it.
        full_name: `Service.method`, for messages and metrics.
        function: function of the service's Protocol, with its docstring; `None` if there is none.
    """

    __slots__ = (
        "_service",
        "annotations",
        "arguments",
        "attribute",
        "codecs",
        "defaults",
        "full_name",
        "function",
        "is_idempotent",
        "is_oneway",
        "mandatory",
        "name",
        "policy",
        "result",
        "service_annotations",
        "throws",
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
        policy: Mapping[str, str] = _NO_POLICY,
        annotations: Mapping[str, str | tuple[str, ...]] = NO_ANNOTATIONS,
    ) -> None:
        self.name = name
        self.attribute = attribute if attribute is not None else name
        self.arguments = arguments
        declared = (NO_DEFAULT,) * (len(arguments) - len(defaults)) + defaults
        chosen = [_default(field, default) for field, default in zip(arguments, declared, strict=True)]
        self.defaults = tuple(None if default is NO_DEFAULT else default for default in chosen)
        self.mandatory = tuple(default is NO_DEFAULT for default in chosen)
        self.result = result
        self.throws = throws
        self.is_oneway = is_oneway
        self.is_idempotent = is_idempotent
        self.policy = policy
        self.annotations: Annotations = check_annotations(annotations)
        self.service_annotations: Annotations = NO_ANNOTATIONS
        self._service = ""
        self.full_name = name
        self.function: Callable[..., Any] | None = None
        self.codecs: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<Method {self.full_name}>"

    @property
    def service(self) -> str:
        """Name of the service that declares it; set when the service is described."""
        return self._service

    @service.setter
    def service(self, name: str) -> None:
        self._service, self.full_name = name, f"{name}.{self.name}"

    @property
    def has_result(self) -> bool:
        """Whether it returns a value."""
        return not isinstance(self.result, VoidType)


def _default(field: Field[Any], declared: Any) -> Any:
    """Return the default of an argument.

    Args:
        declared: the default in the Python signature, the only place where stubs of idlc 0.1.0 have it.
    """
    if isinstance(field, Argument) and field.default is not NO_DEFAULT:
        return field.default
    if field.is_required or isinstance(field, Argument):
        return declared
    return None if declared is NO_DEFAULT else declared


def method(
    function: Callable[Concatenate[Any, P], R],
    /,
    *arguments: Field[Any],
    result: Type[R],
    throws: tuple[Field[Any], ...] = (),
    oneway: bool = False,
    idempotent: bool = False,
    policy: Mapping[str, str] = _NO_POLICY,
    annotations: Mapping[str, str | tuple[str, ...]] = NO_ANNOTATIONS,
    name: str | None = None,
) -> Method[P, R]:
    """Describe a method of a service.

    Args:
        function: function of the service's Protocol; the method has its signature.
        arguments: argument fields in the order of the parameters.
        policy: call settings in the IDL, e.g. `{"timeout": "0.5"}`.
        annotations: annotations in the IDL, e.g. `{"http.get": "/v1/users/{id}"}`.
        name: name on the wire, if it differs from the name in Python.
    """
    attribute = function.__name__
    described: Method[P, R] = Method(
        name if name is not None else attribute,
        *arguments,
        result=result,
        throws=throws,
        is_oneway=oneway,
        is_idempotent=idempotent,
        attribute=attribute,
        defaults=function.__defaults__ or (),
        policy=policy,
        annotations=annotations,
    )
    described.function = function
    return described


class Service:
    """Description of a service: its name and its methods by wire name, including inherited ones.

    Attributes:
        annotations: annotations in the IDL.
    """

    __slots__ = ("annotations", "extends", "methods", "name")

    def __init__(
        self,
        name: str,
        *methods: Method[..., Any],
        extends: Service | None = None,
        annotations: Mapping[str, str | tuple[str, ...]] = NO_ANNOTATIONS,
    ) -> None:
        self.name = name
        self.extends = extends
        self.annotations: Annotations = check_annotations(annotations)
        self.methods: dict[str, Method[..., Any]] = dict(extends.methods) if extends is not None else {}
        for each in methods:
            each.service = name
            each.service_annotations = self.annotations
            self.methods[each.name] = each

    def __repr__(self) -> str:
        return f"<Service {self.name}>"


class _Described(Protocol):
    __thrift_service__: Service


def service(
    name: str,
    *methods: Method[..., Any],
    extends: type[_Described] | None = None,
    annotations: Mapping[str, str | tuple[str, ...]] = NO_ANNOTATIONS,
) -> Service:
    """Describe a service.

    Args:
        extends: client class of the parent service.
        annotations: annotations in the IDL.
    """
    parent = extends.__thrift_service__ if extends is not None else None
    return Service(name, *methods, extends=parent, annotations=annotations)
