"""Common mistakes: what to say about them, and how to read on as if they had not been made.

Each function in the table knows one mistake and looks at the place where the parser could not go on. The first one that
recognises something wins; without any, the message says what was expected and what was found.
"""

from __future__ import annotations

from collections.abc import Callable

from idlc.syntax import dialects, mistakes
from idlc.syntax.place import Hint, Place

__all__ = ["find_hint"]


_MISTAKES: tuple[Callable[[Place], Hint | None], ...] = (
    dialects.structured_annotation,
    dialects.fbthrift_header,
    dialects.fbthrift_function,
    dialects.struct_literal,
    dialects.old_header,
    dialects.protobuf_top,
    dialects.protobuf_field,
    dialects.protobuf_rpc,
    mistakes.inheritance,
    mistakes.mistyped_clause,
    mistakes.mistyped_definition,
    mistakes.hyphen,
    mistakes.unquoted_include,
    mistakes.missing_colon,
    mistakes.name_before_type,
    mistakes.member_value,
    mistakes.missing_result,
    mistakes.untyped_const,
    mistakes.map_of_one,
    mistakes.missing_symbol,
    mistakes.optional_and_required,
    mistakes.missing_name_or_type,
    mistakes.separator_too_many,
    mistakes.stray_bracket,
    mistakes.stray_symbol_before_body,
)


def find_hint(place: Place) -> Hint | None:
    """What is known about the mistake at `place`."""
    for recognise in _MISTAKES:
        hint = recognise(place)
        if hint is not None:
            return hint
    return None
