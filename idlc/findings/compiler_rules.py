"""Diagnostics that are not reported by checks, but by the passes of the compiler: parser, model and code generation."""

from __future__ import annotations

from typing import Final

from idlc.diagnostics import Category, Rule, Severity

__all__ = ["COMPILER_RULES"]

_TABLE: Final[dict[tuple[Severity, Category], dict[str, str]]] = {
    ("error", "correctness"): {
        "constant.cycle": "Constants do not contain each other in a cycle.",
        "constant.enum.undefined": "A constant of an enum type is a member of the enum.",
        "constant.field.duplicate": "The value of a struct sets each field at most once.",
        "constant.field.key": "The value of a struct has the names of its fields as keys, written as strings.",
        "constant.field.missing": "The value of a struct sets all fields that are required.",
        "constant.field.undefined": "The value of a struct sets fields that the struct has.",
        "constant.range": "A number fits in the type of its constant or field.",
        "constant.type": "A value has the type of its constant or field.",
        "constant.undefined": "A constant that is used is declared.",
        "constant.union": "The value of a union sets exactly one field.",
        "default.cycle": "The default value of a field does not contain itself.",
        "file.missing": "Files that are compiled exist.",
        "file.unreadable": "Files can be read, are UTF-8, and have the suffix of an IDL file if they are included.",
        "include.cycle": "Files do not include each other in a cycle.",
        "include.empty": "The path of an include is not empty.",
        "name.ambiguous": "A qualified name is declared in one of the included files with this qualifier.",
        "name.duplicate": "Names of types, services and constants are unique in a file.",
        "service.cycle": "Services do not extend each other in a cycle.",
        "service.extends.kind": "A service extends a service.",
        "service.undefined": "A service that is extended is declared.",
        "syntax.bracket": "Each closing bracket has an opening one.",
        "syntax.character": "Names and punctuation are ASCII, without typographic quotes and invisible characters.",
        "syntax.comment.unclosed": "A comment that begins with `/*` ends with `*/`.",
        "syntax.depth": "Types and values are nested at most about 100 levels deep.",
        "syntax.many": "A file with more than 20 syntax errors is probably not Thrift; the others are not shown.",
        "syntax.name": "Names have no hyphens.",
        "syntax.number": "A number consists of digits, with a sign, a decimal point or an exponent.",
        "syntax.number.range": "A whole number fits in 64 bits.",
        "syntax.obsolete": "The file does not use syntax that Apache Thrift has removed.",
        "syntax.protobuf": "The file is Thrift, not protobuf.",
        "syntax.string.escape": "A backslash in a string begins one of the known escapes.",
        "syntax.string.multiline": "A string ends on the line on which it begins.",
        "syntax.string.unclosed": "A string ends with the quote with which it begins.",
        "syntax.unclosed": "Each opening bracket has a closing one.",
        "syntax.unexpected": "The file follows the grammar of Thrift.",
        "syntax.unsupported": "The file does not use extensions of other compilers that idlc does not have.",
        "type.service": "A service is not used as a type.",
        "type.undefined": "A type that is used is declared.",
        "typedef.cycle": "Typedefs do not refer to each other in a cycle.",
    },
    ("warning", "correctness"): {
        "constant.bool.number": "The value of a bool is `true` or `false`.",
        "constant.enum.number": "A number that is the value of an enum is the value of one of its members.",
        "constant.enum.other": "The value of an enum is one of its members.",
        "include.missing": "Included files exist.",
        "suppression.unknown": "A suppression in the source names a diagnostic.",
        "struct.endless": "A struct does not require itself.",
    },
    ("warning", "style"): {
        "suppression.unused": "A suppression in the source suppresses something.",
        "constant.duplicate": "Keys of a map, and elements of a set, are different.",
    },
    ("warning", "portability"): {
        "constant.enum.unqualified": "An enum member is written with the name of its enum.",
        "enum.senum": "`senum` is obsolete; idlc reads it as a typedef of `string`.",
        "typedef.undefined": "The type of a typedef is declared, even if nothing uses the typedef.",
    },
    ("error", "output"): {
        "openapi": "Services can be described in OpenAPI.",
        "python.module.overwritten": "A module is not written over the module of another IDL file.",
        "python.name.invalid": "The value of `py.name` is a name that Python code can have there.",
        "python.name.collision": "Declarations of one Python package have different names.",
    },
    ("warning", "output"): {
        "python.package.shadowed": "Python finds the generated package, not another one of the same name.",
    },
    ("note", "correctness"): {
        "baseline.stale": "The entries of a baseline have findings.",
    },
    ("note", "output"): {
        "python.name.hidden": "A package offers the names of all its modules, unless several modules have a name.",
        "python.name.yielded": "A declaration has its own name in Python, unless the name is taken.",
        "python.package.yielded": "The package of a file has the name of the file, unless the name is taken.",
    },
}

COMPILER_RULES: Final = tuple(
    Rule(name=name, severity=severity, category=category, summary=summary)
    for (severity, category), rules in _TABLE.items()
    for name, summary in rules.items()
)
