"""Schemas of types, and the components of a document: one for each struct, union, exception and enum that it mentions.

A class may have two schemas: what is read has fewer required fields than what is written (a default of the IDL is
filled in by the reader), and where `i64` is written as text, numbers are read, too. They have two names, `X` and
`XInput`, only if they differ and the document uses both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from idlrt.openapi.constraints import constrain, enum_names, has_flag, rules_of, rules_within
from idlrt.openapi.defaults import NO_VALUE, default_of, has_default
from idlrt.openapi.docs import DocReader
from idlrt.openapi.examples import Examples
from idlrt.openapi.options import OpenApiOptions
from idlrt.openapi.references import Key, names_of, reference, resolved
from idlrt.openapi.scalars import Schema, integer_schema, key_schema, scalar_schema
from idlrt.serialization.plain_json import JsonOptions, json_key
from idlrt.serialization.text_scalars import INTEGER_PATTERN
from idlrt.spec import (
    BaseType,
    EnumType,
    Field,
    ListType,
    MapType,
    SetType,
    StructType,
    Type,
    Union,
    annotations_of,
)

__all__ = ["Schemas", "is_always_written", "is_needed"]


class Schemas:
    """Schemas of a document, with the classes that they mention.

    Attributes:
        docs: reader of documentation.
        examples: generator of examples.
        json: mapping of values.
    """

    def __init__(self, options: OpenApiOptions) -> None:
        self.docs = DocReader()
        self.json = JsonOptions(
            i64_as_text=options.i64_as_text, enums_as_numbers=options.enums_as_numbers, rest=True, max_depth=256
        )
        self.examples = Examples(self.json)
        self._options = options
        self._found: dict[Key, Schema | None] = {}

    def of(self, type: Type[Any], *, is_input: bool, as_text: bool, rules: Mapping[str, Any] = {}) -> Schema:
        """Return the schema of a type.

        Args:
            is_input: whether values are read, not written.
            as_text: whether `i64` is written as text.
            rules: constraints of the values.
        """

        def part(type: Type[Any], name: str) -> Schema:
            return self.of(type, is_input=is_input, as_text=as_text, rules=rules_within(rules, name))

        found: Schema
        if isinstance(type, StructType):
            found = self.refer(Key(type.cls, "input" if is_input else "output"))
        elif isinstance(type, EnumType):
            found = self.refer(Key(type.cls, "enum"))
        elif isinstance(type, ListType):
            found = {"type": "array", "items": part(type.element, "elem")}
        elif isinstance(type, SetType):
            found = {"type": "array", "items": part(type.element, "elem"), "uniqueItems": True}
        elif isinstance(type, MapType):
            found = self._map(type, part(type.value, "value"), part, rules)
        else:
            assert isinstance(type, BaseType)
            found = scalar_schema(type, as_text=as_text, is_input=is_input)
        return constrain(found, type, rules)

    def _map(self, type: MapType[Any], value: Schema, part: Any, rules: Mapping[str, Any]) -> Schema:
        if not isinstance(type.key, BaseType | EnumType):
            pair: Schema = {
                "type": "object",
                "properties": {"key": part(type.key, "key"), "value": value},
                "required": ["key", "value"],
                "additionalProperties": False,
            }
            return {"type": "array", "items": pair}
        found: Schema = {"type": "object", "additionalProperties": value}
        names: Schema | None
        if isinstance(type.key, EnumType):
            names = {"anyOf": [{"enum": [*enum_names(type.key)]}, {"pattern": INTEGER_PATTERN}]}
        else:
            names = key_schema(type.key)
            if type.key.name == "string":
                names = constrain({}, type.key, rules_within(rules, "key")) or None
        return found if names is None else found | {"propertyNames": names}

    def refer(self, key: Key) -> Schema:
        """Return a reference to the schema of a class."""
        if key not in self._found:
            self._found[key] = None  # recursive types refer to themselves
            self._found[key] = self._enum(key.cls) if key.use == "enum" else self._class(key)
        return reference(key)

    def add(self, key: Key, schema: Schema) -> Schema:
        """Add a schema that is made elsewhere, and return a reference to it."""
        self._found.setdefault(key, schema)
        return reference(key)

    def member(
        self, field: Field[Any], cls: Any, *, is_input: bool, as_text: bool | None = None, doc: str = ""
    ) -> Schema:
        """Return the schema of a field or an argument, as the member of an object.

        Args:
            cls: class that has the field; `None` for an argument.
            as_text: whether `i64` is text; `None`: as the options and the field say.
            doc: its documentation, if `cls` is `None`.
        """
        if as_text is None:
            as_text = self.json.i64_as_text or "http.as_text" in field.annotations
        found = self.of(field.type, is_input=is_input, as_text=as_text, rules=rules_of(field.annotations))
        description = [doc if cls is None else self.docs.of_attributes(cls).get(field.attribute, "")]
        deprecated = field.annotations.get("deprecated")
        if deprecated is not None:
            found["deprecated"] = True
            is_said = "deprecated" in description[0].lower()
            description.append(f"Deprecated: {deprecated[-1]}" if deprecated[-1] and not is_said else "")
        if text := "\n\n".join(filter(None, description)):
            found["description"] = text
        default = default_of(field, cls, self.json, as_text=as_text)
        return found if default is NO_VALUE else found | {"default": default}

    def object(self, members: Iterable[tuple[str, Schema, bool]]) -> Schema:
        """Return the schema of an object with members: key, schema, whether it is required."""
        chosen = [*members]
        found: Schema = {"type": "object", "properties": {key: schema for key, schema, _ in chosen}}
        required = [key for key, _, is_required in chosen if is_required]
        return found | ({"required": required} if required else {})

    def fields(self, cls: Any, *, is_input: bool, without: Iterable[Field[Any]] = ()) -> Schema:
        """Return the schema of an object with the fields of a class."""
        left_out = {*without}
        return self.object(
            (
                json_key(field),
                self.member(field, cls, is_input=is_input),
                is_needed(cls, field) if is_input else is_always_written(cls, field),
            )
            for field in _in_idl_order(cls)
            if field not in left_out
        )

    def _class(self, key: Key) -> Schema:
        cls, is_input = key.cls, key.use == "input"
        found = self._union(cls, is_input=is_input) if issubclass(cls, Union) else self.fields(cls, is_input=is_input)
        found |= self._described(cls)
        example = self.examples.of_class(cls)
        return found if example is None else found | {"examples": [example]}

    def _union(self, cls: Any, *, is_input: bool) -> Schema:
        options: list[Schema] = []
        for field in _in_idl_order(cls):
            key = json_key(field)
            member = self.member(field, cls, is_input=is_input)
            member.pop("default", None)
            option = self.object([(key, member, True)])
            options.append({"title": key} | option | {"additionalProperties": False})
        return {"oneOf": options} if options else {"type": "object", "maxProperties": 0}

    def _enum(self, cls: Any) -> Schema:
        names = enum_names(EnumType(cls))
        by_name: Schema = {"type": "string", "enum": [*names]} if names else {"type": "string", "maxLength": 0}
        number = integer_schema("i32")
        found: Schema = {"anyOf": [number, by_name] if self.json.enums_as_numbers else [by_name, number]}
        docs = self.docs.of_attributes(cls)
        texts = {member.name: docs.get(member.name, "") for member in names.values()}
        lines = [
            f"* `{name}` = {int(member)}" + (f": {' '.join(text.split())}" if (text := texts[member.name]) else "")
            for name, member in names.items()
        ]
        found |= self._described(cls, more="\n".join(lines))
        found["x-enum-varnames"] = [*names]
        found["x-enum-values"] = [int(member) for member in names.values()]
        example = self.examples.of_enum(cls)
        return found if example is None else found | {"examples": [example]}

    def _described(self, cls: Any, more: str = "") -> Schema:
        found: Schema = {}
        texts = [self.docs.of_class(cls), more]
        deprecated = _deprecation(cls)
        if deprecated is not None:
            found["deprecated"] = True
            texts.insert(1, f"Deprecated: {deprecated}" if deprecated else "")
        text = "\n\n".join(filter(None, texts))
        return found | ({"description": text} if text else {})

    def complete(self, node: Any, reserved: Mapping[str, Schema]) -> tuple[Any, dict[str, Schema]]:
        """Return a part of a document, and the components, with all references resolved.

        Args:
            reserved: components that are not of a class.
        """
        classes = dict.fromkeys(key.cls for key in self._found)
        names = names_of(sorted(classes, key=lambda cls: (cls.__module__, cls.__qualname__)), self._options.package)
        double: set[Any] = set()
        taken = {*reserved, *names.values()}

        def name(key: Key) -> str:
            own = names[key.cls] + ("." if names[key.cls] in reserved else "")
            suffix = "Problem" if key.use == "problem" else "Input" if key.use == "input" and key.cls in double else ""
            return f"{own}.{suffix}" if suffix and own + suffix in taken else own + suffix

        both = [key.cls for key in self._found if key.use == "input" and Key(key.cls, "output") in self._found]
        is_stable = False
        while not is_stable:
            is_stable = True
            for cls in both:
                texts = [resolved(self._found[Key(cls, use)], name) for use in ("input", "output")]
                if cls not in double and texts[0] != texts[1]:
                    double.add(cls)
                    is_stable = False
        components = {name(key): resolved(schema, name) for key, schema in self._found.items()}
        return resolved(node, name), dict(sorted((components | dict(reserved)).items()))


def _in_idl_order(cls: Any) -> list[Field[Any]]:
    """Return the fields that are read and written, in the order of the class."""
    order = {name: place for place, name in enumerate(cls.__annotations__)}
    fields = [field for field in cls.__thrift_fields__ if "http.none" not in field.annotations]
    return sorted(fields, key=lambda field: order.get(field.attribute, len(order)))


def is_needed(cls: Any, field: Field[Any]) -> bool:
    """Whether a reader rejects an object without a field, even a `required` one: it fills in defaults."""
    is_not_nil = has_flag(rules_of(field.annotations), "not_nil")
    return (field.is_required or is_not_nil) and not has_default(cls, field)


def is_always_written(cls: Any, field: Field[Any]) -> bool:
    """Whether a writer always writes a field: its value in Python is never `None`."""
    annotation = cls.__annotations__.get(field.attribute, "")
    text = annotation if isinstance(annotation, str) else repr(annotation)
    return field.is_required or not (text.endswith("None") or "Optional[" in text)


def _deprecation(cls: Any) -> str | None:
    text: str | None = getattr(cls, "__deprecated__", None)
    if text is None and hasattr(cls, "__thrift_annotations__"):
        values = annotations_of(cls).get("deprecated")
        text = values[-1] if values is not None else None
    return text
