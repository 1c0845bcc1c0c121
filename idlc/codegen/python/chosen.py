"""Names that the IDL chooses for Python: `(py.name = "...")` after a declaration, field, argument or function.

Only the name in Python changes: messages, JSON, HTTP and metrics have the name of the IDL. A chosen name does not give
way to another one, as others do (see `claims`): one that is not possible is an error.
"""

from __future__ import annotations

from unicodedata import normalize

from idlc.codegen.python.names import KEYWORDS
from idlc.model import Declaration
from idlc.source import Span

__all__ = ["ANNOTATION", "annotation_span", "chosen_name", "problem_of"]

ANNOTATION = "py.name"


def chosen_name(declaration: Declaration) -> str | None:
    """Return the name that the IDL chooses, valid or not; `None` if it does not choose one."""
    found = declaration.annotations.get(ANNOTATION) if declaration.annotations else None
    return None if found is None else found[-1]


def annotation_span(declaration: Declaration) -> Span:
    """Return the span of the annotation that chooses the name; the last one if there are several."""
    node = getattr(declaration, "node", None)
    for annotation in reversed(node.annotations if node is not None else ()):
        if annotation.name.text == ANNOTATION:
            return declaration.program.document.span(annotation)
    return declaration.span


def problem_of(declaration: Declaration, name: str) -> tuple[str, str]:
    """Return why a chosen name is not possible anywhere, and what to do; both are empty if it is.

    Names that are reserved in a class only, or taken, are found when names are assigned.
    """
    if len(declaration.annotations[ANNOTATION]) > 1:
        return "it is given twice", "remove one of the annotations"
    if name in KEYWORDS:
        return f"`{name}` is a keyword of Python", f"choose another name, such as `{name}_`"
    if not name.isidentifier() or normalize("NFKC", name) != name:
        return f"{name!r} is not an identifier", "use letters, digits and underscores, and begin with a letter"
    if name.startswith("_"):
        return f"`{name}` is private in Python", f"choose a name without leading underscores, such as `{_public(name)}`"
    return "", ""


def _public(name: str) -> str:
    stem = name.strip("_")
    return stem if stem.isidentifier() else f"n{stem}"
