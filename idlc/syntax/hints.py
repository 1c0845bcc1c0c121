"""Hints about common mistakes: messages, and repairs with which parsing continues.

Each function in the table recognizes one mistake at the position of a syntax error. The first hint is used; if there is
none, the message is "expected ..., found ...".
"""

from __future__ import annotations

from collections.abc import Callable

from idlc.syntax import dialects, mistakes
from idlc.syntax.error_context import ErrorContext, Hint

__all__ = ["find_hint"]


_MISTAKES: tuple[Callable[[ErrorContext], Hint | None], ...] = (
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


def find_hint(context: ErrorContext) -> Hint | None:
    """Return the hint about a mistake at `context`, or `None`."""
    for recognize in _MISTAKES:
        hint = recognize(context)
        if hint is not None:
            return hint
    return None
