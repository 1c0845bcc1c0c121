"""The data that templates get for services."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import msgspec

from idlc.codegen.python import names
from idlc.codegen.python.docs import text_of
from idlc.codegen.python.layout import ServiceNames
from idlc.codegen.python.types import annotation, expression
from idlc.codegen.python.values import is_immutable, value
from idlc.codegen.python.views import Context, FieldView, deprecation
from idlc.model import Annotations, Field, Function, Program, Service, policy_of, resolve, runtime_annotations

__all__ = ["MethodView", "ParameterView", "ServiceView", "in_order", "service_views"]


class ParameterView(FieldView, frozen=True):
    """A parameter of a method.

    `default` is the default in the signature, which must not be mutable, and which a parameter has only if all that
    follow have one.

    Attributes:
        declared_default: the expression of the default in the IDL; `None` if it has none.
        is_default_mutable: each call needs a separate `declared_default`.
    """

    declared_default: str | None


class MethodView(msgspec.Struct, frozen=True):
    """A method of a service.

    Attributes:
        name: its name in Python.
        wire_name: its name in the IDL.
        service: the name of its service in the IDL.
        constant: the private name of its description.
        returns: its result, as a Python annotation.
        result: its result, as an expression of a table of fields.
        throws: the exceptions that it declares.
        policy: setting → value, from the annotations of the method and its service.
        deprecated: the text of its deprecation, or `None`.
        runtime_annotations: annotations that generated code contains, see `idlc.model.runtime_annotations`.
    """

    name: str
    wire_name: str
    service: str
    constant: str
    parameters: list[ParameterView]
    returns: str
    result: str
    throws: list[FieldView]
    is_oneway: bool
    is_idempotent: bool
    policy: dict[str, str]
    doc: str | None
    deprecated: str | None
    annotations: Annotations
    runtime_annotations: Annotations


class ServiceView(msgspec.Struct, frozen=True):
    """A service.

    Attributes:
        name: its name in the IDL.
        names: the names of its classes and of the function that binds a handler.
        parent: the same names of the service that it extends, as this module writes them; `None` if there is none.
        constant: the private name of its description.
        deprecated: the text of its deprecation, or `None`.
        runtime_annotations: annotations that generated code contains, see `idlc.model.runtime_annotations`.
        methods: without the inherited ones.
    """

    name: str
    names: ServiceNames
    parent: ServiceNames | None
    constant: str
    doc: str | None
    deprecated: str | None
    annotations: Annotations
    runtime_annotations: Annotations
    methods: list[MethodView]


def in_order(program: Program) -> list[Service]:
    """Return the services of a file, each after the one that it extends."""
    ordered: list[Service] = []

    def visit(service: Service) -> None:
        if service in ordered:
            return
        if service.extends is not None and service.extends.program is program:
            visit(service.extends)
        ordered.append(service)

    for service in program.services:
        visit(service)
    return ordered


def service_views(program: Program, context: Context, taken: set[str]) -> list[ServiceView]:
    """Return the views of a file's services.

    Args:
        taken: the names of the module. Private names avoid these and are added.
    """
    services = in_order(program)
    return [_service_view(service, context, taken, is_alone=len(services) == 1) for service in services]


def _private(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    taken.add(candidate)
    return candidate


def _service_view(service: Service, context: Context, taken: set[str], *, is_alone: bool) -> ServiceView:
    front = "_" if is_alone else f"_{names.constant_name(service.name)}_"
    given = context.layout.members.of_service(service)
    expand = frozenset(given.values())
    methods: list[MethodView] = []
    for function in context.layout.known.of(service.functions):
        constant = _private(front + names.constant_name(function.name).lstrip("_"), taken)
        methods.append(_method_view(function, given[id(function)], constant, expand, context))
    return ServiceView(
        name=service.name,
        names=context.layout.service(service),
        parent=None if service.extends is None else context.imports.service(service.extends),
        constant=_private(f"{front}SERVICE", taken),
        doc=text_of(service.doc),
        deprecated=deprecation(service),
        annotations=service.annotations,
        runtime_annotations=runtime_annotations(service),
        methods=methods,
    )


def _method_view(
    function: Function, name: str, constant: str, expand: AbstractSet[str], context: Context
) -> MethodView:
    given = context.layout.members.of_parameters(function)
    return MethodView(
        name=name,
        wire_name=function.name,
        service=function.service.name,
        constant=constant,
        parameters=_parameters(function, given, expand, context),
        returns="None" if function.result is None else annotation(function.result, context.imports, expand=expand),
        result="rpc.VOID" if function.result is None else expression(function.result, context.imports, context.defined),
        throws=[_exception(field, given[id(field)], context) for field in function.throws],
        is_oneway=function.is_oneway,
        is_idempotent=function.is_idempotent,
        policy=policy_of(function),
        doc=text_of(function.doc),
        deprecated=deprecation(function),
        annotations=function.annotations,
        runtime_annotations=runtime_annotations(function),
    )


def _parameters(
    function: Function, given: dict[int, str], expand: AbstractSet[str], context: Context
) -> list[ParameterView]:
    """Return the parameters of a function.

    A parameter has a default in the signature only where all that follow have one. Its annotation allows `None` where a
    caller may leave it out and the signature cannot show its default.
    """
    found: list[ParameterView] = []
    may_default = True
    for field in reversed(function.arguments):
        text = annotation(field.type, context.imports, expand=expand)
        declared = None if field.default is None else value(field.default, field.type, context.imports)
        default = declared
        is_mutable = field.default is not None and not is_immutable(field.default)
        is_required = field.requiredness == "required"
        may_be_none = field.requiredness == "optional" or (context.nullable_arguments and not is_required)
        if is_mutable or (declared is None and may_be_none):
            text += " | None"
            default = "None"
        may_default = may_default and default is not None
        is_argument = declared is not None or not (is_required or may_be_none)
        found.append(
            ParameterView(
                id=field.id,
                name=given[id(field)],
                wire_name=field.name,
                type=field.type,
                annotation=text,
                spec=expression(field.type, context.imports, context.defined),
                presence="argument" if is_argument else "required" if is_required else "optional",
                default=default if may_default else None,
                is_default_mutable=is_mutable,
                doc=text_of(field.doc),
                annotations=field.annotations,
                runtime_annotations=runtime_annotations(field),
                declared_default=declared,
            )
        )
    found.reverse()
    return found


def _exception(field: Field, name: str, context: Context) -> FieldView:
    return FieldView(
        id=field.id,
        name=name,
        wire_name=field.name,
        type=field.type,
        annotation=annotation(resolve(field.type), context.imports),
        spec=expression(field.type, context.imports, context.defined),
        presence="optional",
        default=None,
        is_default_mutable=False,
        doc=text_of(field.doc),
        annotations=field.annotations,
        runtime_annotations=runtime_annotations(field),
    )
