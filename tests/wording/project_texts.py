"""All texts of the project that users read, collected without running it: messages, and the helps of its commands.

A message is a text literal of at least two words that is no docstring; in f-strings, placeholders stand as they are
written (`{len(data)}`). Messages are grouped by package, so that they can be read as a set.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
SOURCES = {"idlc": ROOT / "idlc", "idlrt": ROOT / "runtime" / "idlrt"}
# Stubs, which repeat the documentation of their IDL.
GENERATED = {SOURCES["idlrt"] / name / "api" for name in ("collector", "embedded")}

TWO_WORDS = re.compile(r"[A-Za-z]{2,}[,:;]? +\S*[A-Za-z{]")
NATIVE_TEXT = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
HELP_WIDTH = 100


def packages() -> dict[str, list[Path]]:
    """Sources by package (`idlrt.client`); modules that are in none are under the name of the whole."""
    found: dict[str, list[Path]] = {}
    for name, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.p[yx]*")):
            if path.suffix in {".py", ".pyx", ".pxi"} and not GENERATED & {*path.parents}:
                parts = path.relative_to(folder).parts
                found.setdefault(f"{name}.{parts[0]}" if len(parts) > 1 else name, []).append(path)
    return found


def messages(path: Path) -> list[str]:
    """The texts of a source, in their order, on one line each."""
    source = path.read_text(encoding="utf-8")
    texts = _python_texts(source) if path.suffix == ".py" else _native_texts(source)
    return [" ".join(text.split()) for text in texts if TWO_WORDS.search(text)]


def _python_texts(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    hidden: set[int] = set()
    for node in ast.walk(tree):
        # A text that is a statement documents what stands above it.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            hidden.add(id(node.value))
        # The parts of an f-string, and texts inside its placeholders, stand in its own text.
        elif isinstance(node, ast.JoinedStr):
            hidden |= {id(part) for part in ast.walk(node) if part is not node}
    found = [
        node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in hidden
    ]
    for node in sorted(found, key=lambda each: (each.lineno, each.col_offset)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(_part(each) for each in node.values)
        elif isinstance(node.value, str):
            yield node.value


def _part(node: ast.expr) -> str:
    if isinstance(node, ast.FormattedValue):
        conversion = f"!{chr(node.conversion)}" if node.conversion > 0 else ""
        return "{" + ast.unparse(node.value) + conversion + "}"
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


def _native_texts(source: str) -> Iterator[str]:
    code = re.sub(r'"""(.|\n)*?"""', "", source)
    for line in code.splitlines():
        if not line.lstrip().startswith(("#", "include", "cdef extern")):
            yield from NATIVE_TEXT.findall(line)


def helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """The help of a command and of all its subcommands, by full name."""
    settings = {**command.context_settings, "terminal_width": HELP_WIDTH, "max_content_width": HELP_WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from helps(found, each, context)
