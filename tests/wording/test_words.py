"""The English of the project: no phrases that a reader would have to translate, and numbers agree with their nouns.

Looked at is what users and contributors read: sources, templates and pages. Where a phrase is plain English, the place
is in `ALLOWED`.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator

import pytest
from project_texts import GENERATED, ROOT, SOURCES

READ = ["idlc", "runtime", "templates", "grammars", "docs", "README.md", "DESIGN.md", "CONTRIBUTING.md"]

# Say it with the term of the field: "client", "caller", "timeout", "default", "precedence", "at most", "again" ...
PHRASES = re.compile(
    r"\b(whoever|nobody|somebody|anew|for the moment|as far as|what holds|holds in the end|who said so|is told of"
    r"|comes to|so many|puts up with|of its own|unless told otherwise|all the same|for people|stands in the way)\b",
    re.IGNORECASE,
)
RIDDLE = re.compile(r'"""What\b')
ALLOWED: dict[str, set[str]] = {}
MOST_ALLOWED = 40

# Counted things: "1 byte", "2 bytes".
NOUNS = (
    "answer", "argument", "attempt", "byte", "call", "caller", "change", "character", "client", "column",
    "connection", "constant", "declaration", "digit", "element", "endpoint", "entry", "error", "event",
    "failure", "field", "file", "finding", "function", "handler", "include", "instance", "item", "key", "level",
    "line", "member", "message", "metadata", "method", "minute", "module", "name", "node", "option", "package",
    "parameter", "part", "place", "problem", "process", "property", "record", "registration", "reply",
    "request", "response", "result", "retry", "route", "router", "rule", "second", "server", "service",
    "session", "struct", "table", "thread", "time", "try", "type", "value", "warning", "watch", "word", "worker",
)  # fmt: skip
PLURALS = {f"{noun}s" for noun in NOUNS} | {f"{noun[:-1]}ies" for noun in NOUNS if noun.endswith("y")} | {"processes"}
COUNTED = re.compile(r" ([a-z]+)\b(?!/)")
# No number, or one that is never 1.
NEVER_ONE = {
    "{calls} calls",
    "{self._failures} attempts",
    "{connections} connections",
    "{len(problems)} problems",
    "{other} messages",
}
LOGGED = re.compile(r"%[ds] ([a-z]+)\b")


def phrases(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        for match in (*PHRASES.finditer(line), *RIDDLE.finditer(line)):
            yield number, match[0]


def read_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "--", *READ], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).suffix not in {".so", ".png"}]


def is_allowed(name: str, line: str) -> bool:
    return any(each in line for each in ALLOWED.get(name, ()))


def test_phrases_are_plain() -> None:
    found: list[str] = []
    allowed = 0
    for name in read_files():
        text = (ROOT / name).read_text(encoding="utf-8")
        lines = text.splitlines()
        for number, phrase in phrases(text):
            if is_allowed(name, lines[number - 1]):
                allowed += 1
            else:
                found.append(f"{name}:{number}: {phrase}")
    assert not found, "say it in the terms of the field:\n" + "\n".join(found)
    assert allowed < MOST_ALLOWED


def test_what_is_allowed_is_there() -> None:
    unused = [
        f"{name}: {each}"
        for name, texts in ALLOWED.items()
        for each in texts
        if not any(each in line and [*phrases(line)] for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    ]
    assert not unused, f"take it out of ALLOWED: {unused}"


def counted(source: str) -> Iterator[tuple[int, str]]:
    """Texts in which a number stands before the plural of a noun, whatever the number is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for number, after in zip(node.values, node.values[1:], strict=False):
                if isinstance(number, ast.FormattedValue) and isinstance(after, ast.Constant):
                    match = COUNTED.match(str(after.value))
                    text = f"{{{ast.unparse(number.value)}}} {match[1]}" if match else ""
                    is_constant = ast.unparse(number.value).isupper()
                    if match and match[1] in PLURALS and not is_constant and text not in NEVER_ONE:
                        yield node.lineno, text
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                for match in LOGGED.finditer(first.value):
                    if match[1] in PLURALS:
                        yield node.lineno, match[0]


@pytest.mark.parametrize("package", SOURCES)
def test_nouns_agree_with_their_numbers(package: str) -> None:
    found: list[str] = []
    for path in sorted(SOURCES[package].rglob("*.py")):
        if not GENERATED & {*path.parents}:
            name = path.relative_to(ROOT).as_posix()
            found += [f"{name}:{line}: {text}" for line, text in counted(path.read_text(encoding="utf-8"))]
    assert not found, "use plural(count, noun):\n" + "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "f'{count} services, 0 errors'",
        "f'needs {len(data)} bytes'",
        "log.info('closed %d connections', 1)",
        "f'{n} tries'",
    ],
)
def test_a_number_before_a_plural_is_found(source: str) -> None:
    assert list(counted(source))


@pytest.mark.parametrize(
    "source",
    ["plural(count, 'service')", "f'{name} is missing'", "f'at most {limit:g} s'", "f'{method} takes {count}'"],
)
def test_plain_texts_are_not(source: str) -> None:
    assert not list(counted(source))


def test_riddles_and_phrases_are_found() -> None:
    text = 'def f():\n    """What holds in the end."""\n    # Whoever asks\n'
    assert [number for number, _ in phrases(text)] == [2, 2, 3]


def test_files_are_looked_at() -> None:
    names = read_files()
    assert {"README.md", "idlc/cli/compile.py", "templates/python/module.py.j2"} <= set(names)
    assert len(names) > 400
