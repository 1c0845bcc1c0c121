"""Where thriftpy2's `TApacheJSONProtocol` is not what Apache's own libraries write and read, one by one.

Everything else of the IDL it writes as we do but for two freedoms of JSON: it writes text in ASCII (`\\u00fc`), and the
shortest digits of a double.
"""

from __future__ import annotations

from typing import Any

from idlrt.spec import Union

UNWRITABLE: dict[tuple[str, str], str] = {
    (
        "Containers",
        "grid",
    ): "of a list in a list it takes the element's type for that of both: IndexError, or other text",
    ("Flags", "rows"): "likewise",
    ("Nested", "cube"): "likewise",
    ("Containers", "sets"): "a set that is an element it gives to `json` as it is: TypeError",
    ("Nested", "mixed"): "likewise",
    ("Nested", "ids"): "likewise",
    ("Containers", "by_color"): "an enum as a key it looks up among names of types: KeyError",
}
"""Struct and field → what it does wrong when it writes."""

UNREADABLE: dict[tuple[str, str], str] = {
    ("Nested", "by_real"): "keys that are doubles stay the text that they are in JSON",
    ("Containers", "by_color"): "keys that are enums likewise",
}
"""Struct and field → what it does wrong when it reads."""

UNSTREAMED: dict[tuple[str, str], str] = {
    ("Containers", "reals"): "doubles in containers it takes for structs, as ijson makes `Decimal` of them",
    ("Containers", "numbers"): "likewise",
}
"""Struct and field → what it does wrong when it reads from a socket, but not from memory."""


def sound(value: Any, is_streamed: bool = False) -> Any:
    """`value` without the fields that thriftpy2 writes or reads wrong, those of structs within it included.

    Args:
        is_streamed: whether it reads from a socket.
    """
    if isinstance(value, list):
        return [sound(each, is_streamed) for each in value]
    if isinstance(value, dict):
        return {key: sound(each, is_streamed) for key, each in value.items()}
    fields = getattr(value, "__thrift_fields__", None)
    if fields is None:
        return value
    kept = {}
    tables = (UNWRITABLE, UNREADABLE, UNSTREAMED) if is_streamed else (UNWRITABLE, UNREADABLE)
    for field in fields:
        name, each = field.attribute, getattr(value, field.attribute)
        is_faulty = any((type(value).__name__, field.name) in faults for faults in tables)
        if not is_faulty and not (each is None and isinstance(value, Union)):
            kept[name] = sound(each, is_streamed)
    return type(value)(**kept)
