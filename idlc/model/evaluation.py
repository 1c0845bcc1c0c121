"""Evaluation of one value as a value of its declared type.

All conversions of Apache Thrift are supported: between integers and `true`/`false`; integers and unqualified members to
enums; members to integers; `{}` to an empty list; maps with names of fields to structs
(compiler/cpp/src/thrift/parse/t_scope.h, `resolve_const_value`; main.cc, `validate_const_rec`). Values that it accepts
by oversight are errors: numbers out of range, two fields of a union. Duplicate keys are warnings; the last one is used.
"""

from __future__ import annotations

from typing import cast

from idlc.diagnostics import Label, Report
from idlc.model.conversion import (
    convert,
    describe,
    describe_members,
    fits,
    identity,
    kind_of_constant,
    read_base,
)
from idlc.model.program import (
    UNKNOWN,
    BaseType,
    Const,
    Constant,
    Enum,
    EnumConstant,
    EnumMember,
    Field,
    ListConstant,
    ListType,
    MapConstant,
    MapType,
    Reference,
    SetConstant,
    SetType,
    Struct,
    StructConstant,
    Type,
    resolve,
)
from idlc.model.scope import Ambiguous, Found, Scope, nearest, suggest
from idlc.source import Span
from idlc.syntax import nodes
from idlc.text import with_article

__all__ = ["Evaluator"]


class Evaluator:
    """Evaluator of the values in one file. Its methods report errors and then return `None`."""

    def __init__(self, scope: Scope, report: Report) -> None:
        self._scope = scope
        self._report = report
        self._document = scope.program.document

    def evaluate(self, node: nodes.Value, type: Type, path: str, field: Field | None = None) -> Constant | None:
        """Return the value of `node` as a `type`; `path` is its name in messages."""
        wire = resolve(type)
        if wire == UNKNOWN:
            return None
        if isinstance(node, nodes.ConstantName) and node.text not in ("true", "false"):
            return self._name(node, type, path)
        match wire:
            case ListType() | SetType():
                return self._sequence(node, type, wire, path)
            case MapType():
                return self._map(node, type, wire, path)
            case Reference(target=Struct() as struct):
                return self._struct(node, type, struct, path)
            case Reference(target=Enum() as enum):
                return self._number_of_enum(node, type, enum, path)
            case BaseType():
                return self._base(node, type, wire, path, field)
            case _:
                return None

    # Literals

    def _base(self, node: nodes.Value, type: Type, wire: BaseType, path: str, field: Field | None) -> Constant | None:
        value = read_base(node, wire, self._document.source)
        if value is None:
            help = ""
            if wire.name == "uuid" and isinstance(node, nodes.StringLiteral):
                help = 'write it as "00112233-4455-6677-8899-aabbccddeeff"'
            elif field is not None and field.node.id is None and isinstance(node, nodes.IntLiteral):
                help = f"the id of a field comes first: `{node.value}: {type} {field.name}`"
            self._mismatch(node, type, path, help)
        elif wire.name == "bool" and isinstance(value, int) and not isinstance(value, bool):
            return self._bool_of_number(self._document.span(node), value, path)
        elif not fits(value, wire):
            shown = self._source_text(node) if isinstance(value, float) else value
            self._out_of_range(self._document.span(node), shown, type, path)
            return None
        return value

    def _number_of_enum(self, node: nodes.Value, type: Type, enum: Enum, path: str) -> Constant | None:
        if not isinstance(node, nodes.IntLiteral):
            self._mismatch(node, type, path)
            return None
        member = next((member for member in enum.members if member.value == node.value), None)
        if member is None and not enum.program.document.is_broken(enum.node):
            self._report.warning(
                "constant.enum.number",
                f"enum `{enum.name}` has no member with the value {node.value}",
                self._document.span(node),
                labels=(Label(enum.span, "declared here"),),
            )
        return EnumConstant(enum, node.value, member)

    def _sequence(self, node: nodes.Value, type: Type, wire: ListType | SetType, path: str) -> Constant | None:
        if isinstance(node, nodes.MapLiteral) and not node.pairs:
            found: tuple[nodes.Value, ...] = ()
        elif isinstance(node, nodes.ListLiteral):
            found = node.items
        else:
            self._mismatch(node, type, path)
            return None
        items: list[Constant] = []
        seen: dict[object, nodes.Value] = {}
        is_whole = True
        for index, item in enumerate(found):
            value = self.evaluate(item, wire.element, f"{path}[{index}]")
            if value is None:
                is_whole = False
            elif isinstance(wire, ListType) or self._is_new("set element", item, value, seen):
                items.append(value)
        if not is_whole:
            return None
        return ListConstant(tuple(items)) if isinstance(wire, ListType) else SetConstant(tuple(items))

    def _map(self, node: nodes.Value, type: Type, wire: MapType, path: str) -> Constant | None:
        if isinstance(node, nodes.ListLiteral) and not node.items:
            return MapConstant(())
        if not isinstance(node, nodes.MapLiteral):
            self._mismatch(node, type, path)
            return None
        pairs: dict[object, tuple[Constant, Constant]] = {}
        seen: dict[object, nodes.Value] = {}
        is_whole = True
        for key_node, value_node in node.pairs:
            key = self.evaluate(key_node, wire.key, f"key of {path}")
            value = self.evaluate(value_node, wire.value, f"{path}[{self._source_text(key_node)}]")
            if key is None or value is None:
                is_whole = False
            else:
                self._is_new("map key", key_node, key, seen)
                pairs[identity(key)] = (key, value)  # the last value, at the position of the first
        return MapConstant(tuple(pairs.values())) if is_whole else None

    def _struct(self, node: nodes.Value, type: Type, struct: Struct, path: str) -> Constant | None:
        if isinstance(node, nodes.ListLiteral) and not node.items:
            found: tuple[tuple[nodes.Value, nodes.Value], ...] = ()
        elif isinstance(node, nodes.MapLiteral):
            found = node.pairs
        else:
            self._mismatch(node, type, path)
            return None
        given: list[tuple[Field, Constant]] = []
        seen: dict[object, nodes.Value] = {}
        is_whole = True
        for key, value_node in found:
            field = self._field(key, struct, seen)
            value = self.evaluate(value_node, field.type, f"{path}.{field.name}") if field is not None else None
            if field is None or value is None:
                is_whole = False
            else:
                given.append((field, value))
        has_default = any(field.node.default is not None for field in struct.fields)
        if struct.kind == "union" and (len(found) > 1 or not (found or has_default)):
            self._report.error(
                "constant.union",
                f"union `{struct.name}` must have exactly one field set, found {len(found) or 'none'}",
                self._document.span(node),
                labels=(Label(struct.span, "declared here"),),
            )
            return None
        if not is_whole:
            return None
        self._look_for_required(node, struct, given)
        return StructConstant(struct, tuple(given))

    def _look_for_required(self, node: nodes.Value, struct: Struct, given: list[tuple[Field, Constant]]) -> None:
        names = {field.name for field, _ in given}
        for field in struct.fields:
            if field.requiredness == "required" and field.name not in names and field.node.default is None:
                # Apache Thrift accepts this, and fails when the value is first serialized.
                self._report.error(
                    "constant.field.missing",
                    f"missing required field `{field.name}` of {struct.kind} `{struct.name}`",
                    self._document.span(node),
                    labels=(Label(field.span, "declared here"),),
                )

    def _field(self, key: nodes.Value, struct: Struct, seen: dict[object, nodes.Value]) -> Field | None:
        if not isinstance(key, nodes.StringLiteral):
            self._report.error(
                "constant.field.key",
                f"keys of {with_article(struct.kind)} value must be field names, written as strings",
                self._document.span(key),
                labels=(Label(struct.span, "declared here"),),
                help=f'write `{{"{struct.fields[0].name}": ...}}`' if struct.fields else "",
            )
            return None
        field = next((field for field in struct.fields if field.name == key.value), None)
        if field is None:
            if not struct.program.document.is_broken(struct.node):
                near = nearest(key.value, iter(field.name for field in struct.fields))
                self._report.error(
                    "constant.field.undefined",
                    f"{struct.kind} `{struct.name}` has no field `{key.value}`",
                    self._document.span(key),
                    labels=(Label(struct.span, "declared here"),),
                    help=f"did you mean `{near}`?" if near else "",
                )
            return None
        first = seen.setdefault(field.name, key)
        if first is not key:
            self._report.error(
                "constant.field.duplicate",
                f"field `{field.name}` is set twice",
                self._document.span(key),
                labels=(Label(self._document.span(first), "first set here"),),
            )
            return None
        return field

    def _is_new(self, what: str, node: nodes.Value, value: object, seen: dict[object, nodes.Value]) -> bool:
        first = seen.setdefault(identity(value), node)
        if first is not node:
            self._report.warning(
                "constant.duplicate",
                f"duplicate {what} `{self._source_text(node)}`",
                self._document.span(node),
                labels=(Label(self._document.span(first), "first used here"),),
            )
        return first is node

    # Names

    def _name(self, node: nodes.ConstantName, type: Type, path: str) -> Constant | None:
        wire = resolve(type)
        enum = wire.target if isinstance(wire, Reference) and isinstance(wire.target, Enum) else None
        found = self._scope.find_constant(node.text)
        if enum is not None and not (isinstance(found, Found) and "." in node.text):
            member = enum.member(node.text.rpartition(".")[2])
            if member is not None and not isinstance(found, Ambiguous):
                return self._unqualified(node, member)
        if found is None:
            member = self._only_member(node.text)
            if member is None:
                self._undefined(node, enum)
                return None
            self._unqualified(node, member)
            found = Found(member)
        if isinstance(found, Ambiguous):
            self._report.error(
                "name.ambiguous",
                f"`{node.text}` is ambiguous: two included files with this qualifier declare it",
                self._document.span(node),
                labels=tuple(Label(include.span, "declared in this file") for include in found.includes),
                help='give one of them an alias: `include "..." as other`',
            )
            return None
        if found.include is not None:
            found.include.is_used = True
        if isinstance(found.declaration, EnumMember):
            value: Constant | None = EnumConstant(found.declaration.enum, found.declaration.value, found.declaration)
        else:
            value = cast("Constant | None", found.declaration.value)  # `None` if it was reported
        if value is None:
            return None
        return self._converted(node, value, found.declaration, type, path)

    def _converted(
        self, node: nodes.ConstantName, value: Constant, declaration: Const | EnumMember, type: Type, path: str
    ) -> Constant | None:
        converted = convert(value, type)
        if converted is None:
            span = self._document.span(node)
            wire = resolve(type)
            if isinstance(wire, BaseType) and isinstance(value, int) and not fits(value, wire) and wire.name[0] in "ib":
                if wire.name == "bool":
                    return self._bool_of_number(span, value, path)
                self._out_of_range(span, value, type, path)
            elif (
                isinstance(value, EnumConstant) and isinstance(wire, Reference) and wire.target.name == value.enum.name
            ):
                return self._number_of_namesake(span, value, wire, path)
            else:
                self._report.error(
                    "constant.type",
                    f"`{path}` must be {with_article(str(type))}, but `{node.text}` is {kind_of_constant(value)}",
                    span,
                    labels=(Label(declaration.span, "declared here"),),
                )
        return converted

    def _bool_of_number(self, span: Span, value: int, path: str) -> bool:
        """Convert a number to a bool as Apache Thrift (t_py_generator.cc, `render_const_value`): above zero is true."""
        self._report.warning(
            "constant.bool.number",
            f"`{path}` is a bool; the number {value} is read as {'true' if value > 0 else 'false'}",
            span,
            help="write `true` or `false`",
        )
        return value > 0

    def _number_of_namesake(self, span: Span, value: EnumConstant, type: Reference, path: str) -> Constant | None:
        """Use the value of a member of an enum of the same name in another file, as Apache Thrift does."""
        enum = value.enum
        self._report.warning(
            "constant.enum.other",
            f"`{path}` is a `{type.target.qualified_name}`, but the value is a member of `{enum.qualified_name}`",
            span,
            labels=(Label(enum.span, "declared here"),),
            help=f"write a member of `{type.target.qualified_name}`; otherwise the value {value.number} is used",
        )
        return convert(value.number, type)

    def _unqualified(self, node: nodes.ConstantName, member: EnumMember) -> Constant:
        include = next((i for i in self._scope.program.includes if i.program is member.program), None)
        if include is not None:
            include.is_used = True
        prefix = f"{include.name}." if include is not None else ""
        full = f"{prefix}{member.enum.name}.{member.name}"
        self._report.warning(
            "constant.enum.unqualified",
            f"enum member `{node.text}` is used without its enum",
            self._document.span(node),
            help=f"write `{full}`",
        )
        return EnumConstant(member.enum, member.value, member)

    def _only_member(self, name: str) -> EnumMember | None:
        """Return the member of that name if exactly one enum of this file has it."""
        members = [enum.member(name) for enum in self._scope.program.enums]
        known = [member for member in members if member is not None]
        return known[0] if len(known) == 1 else None

    def _undefined(self, node: nodes.ConstantName, enum: Enum | None) -> None:
        if self._scope.may_be_unparsed(node.text):
            return
        span = self._document.span(node)
        owner = enum
        enum_name, _, member = node.text.rpartition(".")
        if enum_name:
            found = self._scope.find_type(enum_name)
            if isinstance(found, Found) and isinstance(found.declaration, Enum):
                owner = found.declaration
                if found.include is not None:
                    found.include.is_used = True
        if owner is not None:
            if owner.program.document.is_broken(owner.node):
                return
            near = nearest(member, iter(known.name for known in owner.members))
            replacement = f"{enum_name or owner.name}.{near}"
            self._report.error(
                "constant.enum.undefined",
                f"enum `{owner.name}` has no member `{member}`",
                span,
                labels=(Label(owner.span, "declared here"),),
                help=f"did you mean `{replacement}`?" if near else describe_members(owner),
            )
            return
        help, fixes = suggest(node.text, span, self._scope.constant_names())
        self._report.error(
            "constant.undefined", f"constant `{node.text}` is not declared", span, help=help, fixes=fixes
        )

    # Messages

    def _mismatch(self, node: nodes.Value, type: Type, path: str, help: str = "") -> None:
        self._report.error(
            "constant.type",
            f"`{path}` must be {with_article(str(type))}, found {describe(node)}",
            self._document.span(node),
            help=help,
        )

    def _out_of_range(self, span: Span, value: object, type: Type, path: str) -> None:
        wire = resolve(type)
        assert isinstance(wire, BaseType)
        if wire.name == "double":
            limits = "the maximum of a double is about 1.8e308"
        else:
            bits = int(wire.name[1:]) - 1
            limits = f"values of {wire.name} must be between {-(2**bits)} and {2**bits - 1}"
        message = f"`{path}` must be {with_article(str(type))}, but {value!s} is out of range"
        self._report.error("constant.range", message, span, help=limits)

    def _source_text(self, node: nodes.Value) -> str:
        text = self._document.source.text[node.start : node.end]
        return text if len(text) <= 30 and "\n" not in text else f"{text[:27].splitlines()[0]}..."
