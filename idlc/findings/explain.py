"""Explanations of diagnostics: why a rule exists, an example that violates it, and one that does not.

They are in the Markdown files of `explanations`: a section for each diagnostic, in which the fenced blocks `bad` and
`good` are the examples, and blocks `file NAME` are files that both of them include. Diagnostics that no IDL file causes
by itself have no examples. Checks of plugins are explained by their docstrings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from idlc.diagnostics import Rule
from idlc.findings.catalogue import all_rules

__all__ = ["Explanation", "explain", "explanations", "render_explanation"]

_SECTION: Final = re.compile(r"^## (\S+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK: Final = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$\n?", re.MULTILINE | re.DOTALL)


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Explanation of a diagnostic.

    Attributes:
        reason: why the rule exists.
        bad: IDL that violates it; empty if there is no example.
        good: IDL that does not.
        files: other files that the examples include, by name.
    """

    reason: str
    bad: str = ""
    good: str = ""
    files: Mapping[str, str] = {}


@cache
def explanations() -> Mapping[str, Explanation]:
    """Return all explanations by the names of diagnostics."""
    found: dict[str, Explanation] = {}
    for path in sorted((Path(__file__).parent / "explanations").glob("*.md")):
        for name, body in _SECTION.findall(path.read_text(encoding="utf-8")):
            blocks = _BLOCK.findall(body)
            texts = {kind: text for kind, _, text in blocks if kind != "file"}
            files = {file: text for kind, file, text in blocks if kind == "file"}
            reason = " ".join(_BLOCK.sub("", body).split())
            found[name] = Explanation(reason=reason, bad=texts.get("bad", ""), good=texts.get("good", ""), files=files)
    return found


def explain(name: str) -> tuple[Rule, Explanation] | None:
    """Return the rule and the explanation of a diagnostic, or `None` if there is none of that name."""
    rule = all_rules().get(name)
    if rule is None:
        return None
    return rule, explanations().get(name) or Explanation(reason="")


def render_explanation(rule: Rule, found: Explanation) -> str:
    """Return an explanation as text for a terminal, with a line end."""
    state = "reported by `idlc lint`" if rule.is_lint else "always reported"
    fix = ", has a fix" if rule.is_fixable else ""
    parts = [f"{rule.name}: {rule.severity} ({rule.category}, {state}{fix})", rule.summary]
    if found.reason:
        parts.append(found.reason)
    for name, text in found.files.items():
        parts.append(_example(f"With {name}:", text))
    if found.bad:
        parts += [_example("Bad:", found.bad), _example("Good:", found.good)]
    parts.append(_configuration(rule))
    return "\n\n".join(parts) + "\n"


def _example(title: str, text: str) -> str:
    return "\n".join([title, *(f"    {line}".rstrip() for line in text.splitlines())])


def _configuration(rule: Rule) -> str:
    if rule.is_fixed:
        return "It is an error that cannot be turned off, because no code can be generated."
    lines = [
        "Configuration:",
        f"    -W {rule.name}=off              not reported (or error, warning, note)",
        f"    // idlc:ignore {rule.name}      not reported on this line, or on the next one",
        f'    (idlc.ignore = "{rule.name}")   not reported in this declaration',
    ]
    return "\n".join(lines)
