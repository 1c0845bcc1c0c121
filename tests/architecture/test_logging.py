"""Loggers of the runtime escape what comes from outside, and formats hold nothing that does."""

from __future__ import annotations

import ast
from pathlib import Path

RUNTIME = Path(__file__).parents[2] / "runtime" / "idlrt"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
# Arguments of `logging.getLogger`: nothing is logged there.
NOT_LOGGED = {
    "'idlrt'": "commands set the level of the whole tree",
    "type(exporter).__module__": "what the SDK of OpenTelemetry logs about a failure is read",
}


def test_loggers_escape_their_arguments() -> None:
    found: list[str] = []
    for path in sorted(RUNTIME.rglob("*.py")):
        if path == RUNTIME / "core" / "logs.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            is_logger = node.func.attr == "getLogger" and ast.unparse(node.func.value) == "logging"
            if is_logger and ast.unparse(node.args[0]) not in NOT_LOGGED:
                found.append(f"{path.relative_to(RUNTIME)}:{node.lineno}: use idlrt.core.logs.get_logger")
            is_record = node.func.attr in LEVELS and ast.unparse(node.func.value).lower().endswith("log")
            if is_record and node.args and not isinstance(node.args[0], ast.Constant):
                found.append(f"{path.relative_to(RUNTIME)}:{node.lineno}: pass what varies as arguments")
    assert not found, "\n".join(found)
