"""Hooks of schemathesis: what documents do not say, because many generators of clients cannot read it."""

from __future__ import annotations

from typing import Any

import schemathesis

# Required fields with a default: they may be left out, but not be `null`.
REQUIRED = {"currency"}


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """Let members that may be left out be `null`, which servers read as left out."""
    for schema in raw_schema["components"]["schemas"].values():
        allow_null(schema)
    for item in raw_schema["paths"].values():
        for operation in item.values():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                allow_null(media["schema"])


def allow_null(schema: dict[str, Any]) -> None:
    for name, member in schema.get("properties", {}).items():
        if name not in schema.get("required", ()) and name not in REQUIRED:
            schema["properties"][name] = {"anyOf": [member, {"type": "null"}]}
