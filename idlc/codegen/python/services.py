"""The views of services: Protocols for handlers, descriptions of methods, clients."""

from __future__ import annotations

from textwrap import fill

import msgspec

from idlc.codegen.python import names
from idlc.codegen.python.docs import docstring
from idlc.codegen.python.layout import ServiceNames
from idlc.codegen.python.types import annotation, expression
from idlc.codegen.python.values import is_immutable, quoted, value
from idlc.codegen.python.views import Context, decorators, table_entry
from idlc.codegen.python.wrap import WIDTH, Node, Pair, annotated, call, class_head, definition, display, flat, lines
from idlc.model import Field, Function, Program, Service, policy_of

__all__ = ["MethodView", "ServiceView", "in_order", "service_views"]


class MethodView(msgspec.Struct, frozen=True):
    """One method, as each class has it: lines of the `def`, and of what follows."""

    protocol: list[str]
    async_protocol: list[str]
    client: list[str]
    async_client: list[str]
    description: list[str]


class ServiceView(msgspec.Struct, frozen=True):
    """A service."""

    names: ServiceNames
    doc: list[str]
    protocol_head: list[str]
    async_protocol_head: list[str]
    client_head: list[str]
    async_client_head: list[str]
    name: str
    decorators: list[str]
    methods: list[MethodView]
    constant: str
    description: list[str]
    bind: list[str]


def in_order(program: Program) -> list[Service]:
    """The services of a file, each behind the one that it extends."""
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
    """The views of a file's services. Private names avoid `taken`, and are added to it."""
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
    own = context.layout.service(service)
    front = "_" if is_alone else f"_{names.constant_name(service.name)}_"
    given = context.layout.members.of_service(service)
    expand = frozenset(given.values())
    constants: list[str] = []
    methods: list[MethodView] = []
    for function in service.functions:
        constants.append(_private(front + names.constant_name(function.name).lstrip("_"), taken))
        methods.append(_method_view(function, given[id(function)], constants[-1], own, expand, context))
    constant = _private(f"{front}SERVICE", taken)
    parent = service.extends
    items: list[Node] = [quoted(service.name), *constants]
    if parent is not None:
        items.append(f"extends={context.imports.service(parent, 'client')}")

    def base(kind: str, root: str) -> str:
        return root if parent is None else context.imports.service(parent, kind)

    handler = f"handler: {own.protocol} | {own.async_protocol}"
    bind = lines(definition(f"def {own.bind}(", (handler,), ") -> rpc.Handlers:"))
    bind += [
        f'    """Make `handler` ready to be served as `{service.name}`."""',
        f"    return rpc.bind({constant}, handler)",
    ]
    return ServiceView(
        names=own,
        doc=docstring(service.doc, 4),
        protocol_head=class_head(own.protocol, f"{base('protocol', '')}, Protocol".lstrip(", ")),
        async_protocol_head=class_head(own.async_protocol, f"{base('async_protocol', '')}, Protocol".lstrip(", ")),
        client_head=class_head(own.client, base("client", "rpc.Client")),
        async_client_head=class_head(own.async_client, base("async_client", "rpc.AsyncClient")),
        name=service.name,
        decorators=decorators(service),
        methods=methods,
        constant=constant,
        description=annotated(constant, "Final", call("rpc.service", *items), 0),
        bind=bind,
    )


def _parameters(
    function: Function, expand: frozenset[str], context: Context
) -> tuple[list[tuple[str, str, Node | None]], list[str]]:
    """(name, annotation, default) of each parameter, and the text of each.

    A parameter has a default only where all that follow have one. Its annotation allows `None` where a caller may
    leave it out without a default that the signature can show.
    """
    given = context.layout.members.of_parameters(function)
    found: list[tuple[str, str, Node | None]] = []
    may_default = True
    for field in reversed(function.arguments):
        text = annotation(field.type, context.imports, expand=expand)
        default: Node | None = None
        if field.default is not None and is_immutable(field.default):
            default = value(field.default, field.type, context.imports)
        elif field.default is not None or _may_be_none(field, context):
            text += " | None"
            default = "None"
        may_default = may_default and default is not None
        found.append((given[id(field)], text, default if may_default else None))
    found.reverse()
    texts = [
        f"{name}: {text}" if default is None else f"{name}: {text} = {flat(default)}" for name, text, default in found
    ]
    return found, texts


def _may_be_none(field: Field, context: Context) -> bool:
    return field.requiredness == "optional" or (context.nullable_arguments and field.requiredness != "required")


def _argument(field: Field, name: str, context: Context) -> Node:
    """An argument as the description of its method has it: `rpc.argument(1, "limit", rpc.I32, default=10)`."""
    if field.default is None and (field.requiredness == "required" or _may_be_none(field, context)):
        return table_entry(field, name, context, is_required=field.requiredness == "required")
    items: list[Node] = [str(field.id), quoted(field.name), expression(field.type, context.imports, context.defined)]
    if field.default is not None:
        default = value(field.default, field.type, context.imports)
        items.append(Pair("default=" if is_immutable(field.default) else "default_factory=lambda: ", default))
    if name != field.name:
        items.append(f"attribute={quoted(name)}")
    return call("rpc.argument", *items)


def _method_view(
    function: Function, name: str, constant: str, own: ServiceNames, expand: frozenset[str], context: Context
) -> MethodView:
    parameters, texts = _parameters(function, expand, context)
    result = "None" if function.result is None else annotation(function.result, context.imports, expand=expand)
    sections = _sections(function, context)
    summary = f"`{function.name}` of `{function.service.name}`." if sections else None
    doc = docstring(function.doc or summary, 8, sections)

    def head(prefix: str, back: str) -> list[str]:
        return lines(definition(f"{prefix}def {name}(", ("self", *texts), f") -> {result}:{back}"), 4)

    def declared(prefix: str) -> list[str]:
        return [*head(prefix, ""), *doc, "        ..."] if doc else head(prefix, " ...")

    def calls(prefix: str, wait: str) -> list[str]:
        arguments = [constant, *[name for name, _, _ in parameters]]
        body = lines(call(f"{wait}self._call", *arguments), 8, "return ")
        return [*decorators(function, 4), *head(prefix, ""), *doc, *body]

    items: list[Node] = [f"{own.protocol}.{name}"]
    for field, (parameter, _, _) in zip(function.arguments, parameters, strict=True):
        items.append(_argument(field, parameter, context))
    result_node = "rpc.VOID" if function.result is None else _result(function, context)
    items.append(Pair("result=", result_node))
    if function.throws:
        given = context.layout.members.of_parameters(function)
        throws = [table_entry(field, given[id(field)], context, is_required=False) for field in function.throws]
        items.append(Pair("throws=", display("()", *throws)))
    if function.is_oneway:
        items.append("oneway=True")
    if function.is_idempotent:
        items.append("idempotent=True")
    policy = policy_of(function)
    if policy:
        said = [Pair(f"{quoted(key)}: ", quoted(text)) for key, text in policy.items()]
        items.append(Pair("policy=", display("{}", *said)))
    if name != function.name:
        items.append(f"name={quoted(function.name)}")
    return MethodView(
        protocol=declared(""),
        async_protocol=declared("async "),
        client=calls("", ""),
        async_client=calls("async ", "await "),
        description=annotated(constant, "Final", call("rpc.method", *items), 0),
    )


def _result(function: Function, context: Context) -> Node:
    assert function.result is not None
    return expression(function.result, context.imports, context.defined)


def _sections(function: Function, context: Context) -> list[str]:
    sections: list[str] = []
    given = context.layout.members.of_parameters(function)
    described = [f"    {given[id(field)]}: {_one_line(field.doc)}" for field in function.arguments if field.doc]
    if described:
        sections.append("\n".join(["Args:", *described]))
    if function.throws:
        raised: list[str] = []
        for field in function.throws:
            text = _one_line(field.doc) if field.doc else "declared by the IDL."
            raised.append(f"    {field.type}: {text}")
        sections.append("\n".join(["Raises:", *raised]))
    if function.is_oneway:
        sections.append("Oneway: nothing comes back, not even an error.")
    if function.is_idempotent:
        sections.append("Idempotent: it may be tried again when it is not known whether it was done.")
    policy = policy_of(function)
    if policy:
        settings = ", ".join(f"{key}={_one_line(text)}" for key, text in policy.items())
        sections.append(fill(f"Unless told otherwise: {settings}.", WIDTH - 8, break_long_words=False))
    return sections


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
