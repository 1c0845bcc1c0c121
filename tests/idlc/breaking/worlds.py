"""Random IDL files in two versions, for the comparison of findings with what codecs do.

A family is a few declarations that refer to each other: enums E and F, a typedef A, structs S, T and R, a union U,
exceptions X and Y, services V and W. A change is a row of the table of incompatible changes, applied to a family. Many
families are one file, because compiling a file costs more than compiling a family.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

SCALARS = ["bool", "i8", "i16", "i32", "i64", "double", "string", "binary", "uuid"]
KEYS = ["i8", "i32", "i64", "string", "binary", "E", "F"]
ORDER = ["S", "T", "U", "R"]
NAMES = re.compile(r"\b(?:[A-Z]\w*|(?:field|arm|arg|e)\d|other|renamed|reused|added|second|error)\b")
DEFAULTS = {"i8": "1", "i16": "2", "i32": "3", "i64": "4", "string": '"five"', "double": "6.5"}


@dataclass
class Member:
    """Field, argument, or exception in `throws`."""

    id: int
    name: str
    type: str
    word: str = ""
    default: str | None = None

    def text(self) -> str:
        default = f" = {self.default}" if self.default is not None else ""
        return f"{self.id}: {self.word + ' ' if self.word else ''}{self.type} {self.name}{default}"


@dataclass
class Struct:
    kind: str
    fields: list[Member]


@dataclass
class Function:
    result: str
    arguments: list[Member]
    throws: list[Member]
    is_oneway: bool = False

    def text(self, name: str) -> str:
        arguments = ", ".join(each.text() for each in self.arguments)
        throws = f" throws ({', '.join(each.text() for each in self.throws)})" if self.throws else ""
        return f"{'oneway ' if self.is_oneway else ''}{self.result} {name}({arguments}){throws}"


@dataclass
class Service:
    functions: dict[str, Function]
    base: str | None = None


@dataclass
class Family:
    """Declarations by name, and the new names of those that were renamed.

    Attributes:
        keeps_functions: whether functions must not change (again): a call that is rejected shows nothing of its result.
    """

    enums: dict[str, dict[str, int]]
    typedefs: dict[str, str]
    structs: dict[str, Struct]
    services: dict[str, Service]
    renamed: dict[str, str] = field(default_factory=dict)
    keeps_functions: bool = False

    def functions(self, name: str) -> dict[str, Function]:
        """Return the functions of a service by name, including inherited ones."""
        service = self.services[name]
        inherited = self.functions(service.base) if service.base is not None else {}
        return inherited | service.functions

    def is_recognizable(self, name: str, before: Family) -> bool:
        """Return whether a declaration has its old name or its old structure. If not, it is another one."""
        renamed = self.renamed.get(name, name)
        if name in self.typedefs or renamed == name:
            return True
        if name in before.enums:
            return before.enums[name] == self.enums[renamed]
        fields = copy.deepcopy(before.structs[name].fields)
        for member in fields:
            member.type = re.sub(r"\b[A-Z]\b", lambda found: self.renamed.get(found[0], found[0]), member.type)
        return fields == self.structs[renamed].fields and before.structs[name].kind == self.structs[renamed].kind

    def text(self, number: int) -> str:
        lines = [f"typedef {type} {name}" for name, type in self.typedefs.items()]
        for name, members in self.enums.items():
            lines.append(f"enum {name} {{ {', '.join(f'{each} = {value}' for each, value in members.items())} }}")
        for name, struct in self.structs.items():
            lines.append(f"{struct.kind} {name} {{ {'; '.join(each.text() for each in struct.fields)} }}")
        lines += [f"struct Probe{name} {{ 1: optional {name} v }}" for name in (*self.enums, *self.typedefs)]
        for name, service in self.services.items():
            extends = f" extends {service.base}" if service.base is not None else ""
            functions = "; ".join(each.text(function) for function, each in service.functions.items())
            lines.append(f"service {name}{extends} {{ {functions} }}")
        # Names are those of one family, so that types of several families are not alike.
        return "\n".join(NAMES.sub(rf"\g<0>_{number}", line) for line in lines) + "\n"


def family(rng: random.Random) -> Family:
    """Return a random family."""
    structs = {
        "S": Struct("struct", _fields(rng, ["E", "F", "A"], 3)),
        "T": Struct("struct", _fields(rng, ["E", "A", "S"], 3)),
        "U": Struct("union", [Member(id, f"arm{id}", _type(rng, ["S", "F"], 1)) for id in (1, 2, 3)]),
    }
    structs["R"] = Struct("struct", _fields(rng, ["E", "F", "A", "S", "T", "U"], 6))
    for name in ("X", "Y"):
        structs[name] = Struct("exception", _fields(rng, [], 2))
    services = {
        "V": Service({f"call{index}": _function(rng) for index in range(3)}),
        "W": Service({"own": _function(rng)}, "V"),
    }
    enums = {
        "E": {f"e{index}": index * 2 for index in range(3)},
        "F": {f"e{index}": index * 2 for index in range(2)} | {"other": 9},
    }
    return Family(enums, {"A": rng.choice(["i32", "string", "binary", "i64", "list<i32>"])}, structs, services)


def _fields(rng: random.Random, names: list[str], count: int) -> list[Member]:
    return [_member(rng, id, f"field{id}", names) for id in range(1, count + 1)]


def _member(rng: random.Random, id: int, name: str, names: list[str]) -> Member:
    type = _type(rng, names)
    word = rng.choice(["required", "optional", ""])
    default = DEFAULTS.get(type) if word != "required" and rng.random() < 0.3 else None
    return Member(id, name, type, word, default)


def _type(rng: random.Random, names: list[str], depth: int = 2) -> str:
    pick = rng.random()
    if depth and pick < 0.1:
        return f"list<{_type(rng, names, depth - 1)}>"
    if depth and pick < 0.17:
        return f"set<{rng.choice(KEYS)}>"
    if depth and pick < 0.24:
        return f"map<{rng.choice(KEYS)}, {_type(rng, names, depth - 1)}>"
    return rng.choice(names) if names and pick < 0.6 else rng.choice(SCALARS)


def _function(rng: random.Random) -> Function:
    names = ["E", "A", "S", "R", "U"]
    arguments = [_member(rng, id, f"arg{id}", names) for id in range(1, rng.randint(2, 3))]
    if rng.random() < 0.2:
        return Function("void", arguments, [], is_oneway=True)
    throws = [Member(1, "error", "X")] if rng.random() < 0.6 else []
    return Function(rng.choice(["void", _type(rng, names)]), arguments, throws)


# Changes: each returns whether it could be applied

Change = Callable[[Family, random.Random], bool]
CHANGES: dict[str, Change] = {}


def change(function: Change) -> Change:
    CHANGES[function.__name__] = function
    return function


def _some_struct(family: Family, rng: random.Random) -> tuple[str, Struct]:
    return rng.choice([*family.structs.items()])


def _names_below(name: str) -> list[str]:
    if name not in ORDER:
        return []
    return ["E", "F", "A", *ORDER[: ORDER.index(name)]]


def _next_id(members: list[Member]) -> int:
    return max((each.id for each in members), default=0) + 1


def _some_list(family: Family, rng: random.Random) -> tuple[list[Member], list[str], bool]:
    """Return fields or arguments, the types that they may have, and whether they are of a union."""
    if rng.random() < 0.4 and not family.keeps_functions:
        function = _some_function(family, rng)[2]
        return function.arguments, ["E", "A", "S", "R", "U"], False
    name, struct = _some_struct(family, rng)
    return struct.fields, _names_below(name), struct.kind == "union"


@change
def field_removed(family: Family, rng: random.Random) -> bool:
    members, _, is_union = _some_list(family, rng)
    if len(members) < (2 if is_union else 1):
        return False
    members.remove(rng.choice(members))
    return True


@change
def field_added(family: Family, rng: random.Random) -> bool:
    members, names, is_union = _some_list(family, rng)
    member = _member(rng, _next_id(members), "added", names)
    if is_union:
        member.word, member.default = "", None
    members.insert(rng.randint(0, len(members)), member)
    return all(each.name != "added" for each in members if each is not member)


@change
def field_renamed(family: Family, rng: random.Random) -> bool:
    members, _, _ = _some_list(family, rng)
    if not members or any(each.name == "renamed" for each in members):
        return False
    rng.choice(members).name = "renamed"
    return True


@change
def field_id(family: Family, rng: random.Random) -> bool:
    members, _, _ = _some_list(family, rng)
    if members:
        rng.choice(members).id = _next_id(members)
    return bool(members)


@change
def field_ids_swapped(family: Family, rng: random.Random) -> bool:
    members, _, _ = _some_list(family, rng)
    if len(members) < 2:
        return False
    one, other = rng.sample(members, 2)
    one.id, other.id = other.id, one.id
    return True


@change
def field_reused(family: Family, rng: random.Random) -> bool:
    members, names, _ = _some_list(family, rng)
    if not members:
        return False
    member = rng.choice(members)
    member.name, member.type, member.default = "reused", _type(rng, names), None
    return True


@change
def field_type(family: Family, rng: random.Random) -> bool:
    members, names, _ = _some_list(family, rng)
    if not members:
        return False
    member = rng.choice(members)
    before, member.default = member.type, None
    member.type = _type(rng, names)
    return member.type != before


@change
def field_type_alike(family: Family, rng: random.Random) -> bool:
    """The types that have the same encoding, or are often thought to have it."""
    members, names, _ = _some_list(family, rng)
    if not members:
        return False
    member = rng.choice(members)
    alike = {
        "i32": ["E", "list<i32>", "i64", "i16"],
        "E": ["i32", "F", "A"],
        "F": ["i32", "E"],
        "string": ["binary", "uuid"],
        "binary": ["string", "list<i8>", "uuid"],
        "bool": ["i8"],
        "i8": ["bool", "i16"],
        "S": ["T", "U"],
        "T": ["S"],
        "A": [family.typedefs["A"]],
    }
    swaps = {"list<": "set<", "set<": "list<"}
    found = alike.get(member.type, [])
    found += [member.type.replace(old, new, 1) for old, new in swaps.items() if member.type.startswith(old)]
    found += ["A"] if member.type == family.typedefs["A"] else []
    known = {"E", "F", "A", *ORDER}
    found = [each for each in found if each in names or each not in known]
    found = [each for each in found if not re.match(r"set<.*([STUR]|<|double|bool|uuid)", each)]
    if not found:
        return False
    member.type, member.default = rng.choice(found), None
    return True


@change
def element_type_alike(family: Family, rng: random.Random) -> bool:
    """A change of an element that keeps its encoding, or that is rejected because of it."""
    every = [each for struct in family.structs.values() for each in struct.fields if "<" in each.type]
    if not every:
        return False
    member = rng.choice(every)
    before = member.type
    swaps = [("string", "binary"), ("binary", "string"), ("E", "i32"), ("i32", "i64"), ("E", "F"), ("i8", "i16")]
    old, new = rng.choice(swaps)
    member.type, member.default = re.sub(rf"\b{old}\b", new, before, count=1), None
    return member.type != before


@change
def field_word(family: Family, rng: random.Random) -> bool:
    members, _, is_union = _some_list(family, rng)
    if not members or is_union:
        return False
    member = rng.choice(members)
    before = member.word
    member.word = rng.choice(["required", "optional", ""])
    return member.word != before


@change
def field_default(family: Family, rng: random.Random) -> bool:
    members, _, is_union = _some_list(family, rng)
    candidates = [each for each in members if each.type in DEFAULTS and not is_union]
    if not candidates:
        return False
    member = rng.choice(candidates)
    number = {"string": '"six"', "double": "7.5"}.get(member.type, "7")
    member.default = rng.choice([number, None]) if member.default else number
    return True


@change
def fields_reordered(family: Family, rng: random.Random) -> bool:
    members, _, _ = _some_list(family, rng)
    rng.shuffle(members)
    return len(members) > 1


@change
def struct_renamed(family: Family, rng: random.Random) -> bool:
    name = rng.choice([*family.structs, *family.enums])
    return _rename(family, name, f"{name}n")


def _rename(family: Family, old: str, new: str) -> bool:
    if old in family.renamed or new in family.renamed.values() or old[1:]:
        return False
    family.renamed[old] = new
    family.structs = {new if name == old else name: each for name, each in family.structs.items()}
    family.enums = {new if name == old else name: each for name, each in family.enums.items()}
    every = [each for struct in family.structs.values() for each in struct.fields]
    for service in family.services.values():
        service.base = new if service.base == old else service.base
        for function in service.functions.values():
            every += [*function.arguments, *function.throws]
            function.result = re.sub(rf"\b{old}\b", new, function.result)
    for member in every:
        member.type = re.sub(rf"\b{old}\b", new, member.type)
    return True


@change
def struct_kind(family: Family, rng: random.Random) -> bool:
    _, struct = _some_struct(family, rng)
    if struct.kind == "exception":
        return False
    before, struct.kind = struct.kind, rng.choice(["struct", "union"])
    if struct.kind == "union":
        for each in struct.fields:
            each.word, each.default = "", None
    return struct.kind != before and bool(struct.fields)


@change
def typedef_type(family: Family, rng: random.Random) -> bool:
    before = family.typedefs["A"]
    family.typedefs["A"] = rng.choice(["i32", "string", "binary", "i64", "list<i32>", "E", "list<E>", "set<i32>"])
    return family.typedefs["A"] != before


@change
def enum_member_removed(family: Family, rng: random.Random) -> bool:
    members = rng.choice([*family.enums.values()])
    if len(members) > 1:
        del members[rng.choice([*members])]
    return True


@change
def enum_member_renamed(family: Family, rng: random.Random) -> bool:
    members = rng.choice([*family.enums.values()])
    name = rng.choice([*members])
    members["renamed"] = members.pop(name)
    return True


@change
def enum_member_value(family: Family, rng: random.Random) -> bool:
    members = rng.choice([*family.enums.values()])
    members[rng.choice([*members])] = 77
    return True


@change
def enum_members_swapped(family: Family, rng: random.Random) -> bool:
    members = rng.choice([*family.enums.values()])
    if len(members) < 2:
        return False
    one, other = rng.sample([*members], 2)
    members[one], members[other] = members[other], members[one]
    return True


@change
def enum_member_added(family: Family, rng: random.Random) -> bool:
    rng.choice([*family.enums.values()])["added"] = 55
    return True


# Services


def _some_function(family: Family, rng: random.Random) -> tuple[Service, str, Function]:
    service = rng.choice([each for each in family.services.values() if each.functions])
    name = rng.choice([*service.functions])
    return service, name, service.functions[name]


@change
def function_removed(family: Family, rng: random.Random) -> bool:
    service = family.services["V"]
    if len(service.functions) < 2:
        return False
    del service.functions[rng.choice([*service.functions])]
    return True


@change
def function_renamed(family: Family, rng: random.Random) -> bool:
    service, name, function = _some_function(family, rng)
    service.functions["renamed"] = function
    del service.functions[name]
    return True


@change
def function_added(family: Family, rng: random.Random) -> bool:
    _some_function(family, rng)[0].functions["fresh"] = _function(rng)
    return True


@change
def function_moved_to_base(family: Family, rng: random.Random) -> bool:
    if "W" not in family.services:
        return False
    derived = family.services["W"].functions
    if "own" not in derived:
        return False
    family.services["V"].functions["own"] = derived.pop("own")
    return True


@change
def result_type(family: Family, rng: random.Random) -> bool:
    _, _, function = _some_function(family, rng)
    if function.is_oneway:
        return False
    before = function.result
    function.result = rng.choice(["void", "i32", "E", "string", "binary", "S", "R", "list<i32>", "set<i32>", "A"])
    known = {*family.structs, *family.enums, *family.typedefs}
    return function.result != before and (function.result in known or not function.result[0].isupper())


@change
def throws_added(family: Family, rng: random.Random) -> bool:
    _, _, function = _some_function(family, rng)
    if function.is_oneway or "Y" not in family.structs:
        return False
    function.throws.append(Member(_next_id(function.throws), "second", "Y"))
    return all(each.name != "second" for each in function.throws[:-1])


@change
def throws_changed(family: Family, rng: random.Random) -> bool:
    _, _, function = _some_function(family, rng)
    if not function.throws or "Y" not in family.structs:
        return False
    what = rng.choice(["removed", "id", "type", "name"])
    exception = function.throws[0]
    if what == "removed":
        function.throws.remove(exception)
    elif what == "id":
        exception.id = _next_id(function.throws)
    elif what == "type":
        exception.type = "Y"
    else:
        exception.name = "renamed"
    return True


@change
def oneway(family: Family, rng: random.Random) -> bool:
    _, _, function = _some_function(family, rng)
    if function.result != "void" or function.throws:
        return False
    function.is_oneway = not function.is_oneway
    return True


@change
def extends_changed(family: Family, rng: random.Random) -> bool:
    if "W" not in family.services:
        return False
    family.services["W"].base = None
    return True


@change
def service_removed(family: Family, rng: random.Random) -> bool:
    return family.services.pop("W", None) is not None


SERVICE_CHANGES = frozenset(
    name for name in CHANGES if name.split("_")[0] in ("function", "result", "throws", "oneway", "extends", "service")
)


def changed(before: Family, rng: random.Random) -> tuple[Family, list[str]]:
    """Return a family with one or two changes, and their names."""
    while True:
        after = copy.deepcopy(before)
        names = [rng.choice([*CHANGES])]
        if rng.random() < 0.3:
            names.append(rng.choice([each for each in CHANGES if each not in SERVICE_CHANGES]))
        if CHANGES[names[0]](after, rng):
            after.keeps_functions = True
            if all(CHANGES[name](after, rng) for name in names[1:]):
                return after, names
