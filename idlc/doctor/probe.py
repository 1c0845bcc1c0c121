"""Asks the runtime and every plugin, in a child process.

The compiler imports nothing of the runtime, and a plugin may do anything when it is loaded: print, hang, or end the
process. The child finds packages where this process finds them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

__all__ = ["GROUPS", "ask"]

GROUPS = (
    "idlc.targets",
    "idlc.checks",
    "idlrt.protocols",
    "idlrt.serializations",
    "idlrt.thrift_envelopes",
    "idlrt.framings",
    "idlrt.registries",
    "idlrt.balancers",
    "idlrt.fault_modes",
    "idlrt.guards",
    "idlrt.routers",
)
"""The entry-point groups of the compiler and of the runtime."""

_SECONDS = 60.0

# Speaks on what was standard output; what plugins print goes to standard error.
_SCRIPT = """
import os, sys
answer_to = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import importlib.metadata, importlib.util, json
asked = json.load(sys.stdin)
sys.path[:] = asked["path"]

def said(error):
    return " ".join(f"{type(error).__name__}: {error}".split())

answer = {"version": "", "folder": "", "error": "", "backend": "", "native": "", "stubs": "", "plugins": []}
try:
    import idlrt, idlrt.wire
    answer["version"] = idlrt.__version__
    answer["folder"] = os.path.dirname(idlrt.__file__)
    answer["backend"] = idlrt.wire.backend
    if importlib.util.find_spec("idlrt.serialization._native") is None:
        answer["native"] = "missing"
    else:
        try:
            import idlrt.serialization._native
        except Exception as error:
            answer["native"] = said(error)
    try:
        import idlrt.codegen
        idlrt.codegen.requires(asked["stubs"])
    except Exception as error:
        answer["stubs"] = said(error)
except Exception as error:
    answer["error"] = said(error)
for group in asked["groups"]:
    for entry in sorted(importlib.metadata.entry_points(group=group), key=lambda entry: entry.name):
        error = ""
        try:
            entry.load()
        except BaseException as failure:
            error = said(failure)
        package = entry.dist.name if entry.dist is not None else ""
        answer["plugins"].append(
            {"group": group, "name": entry.name, "place": entry.value, "package": package, "error": error}
        )
json.dump(answer, answer_to)
answer_to.flush()
os._exit(0)  # whatever threads a plugin has started
"""


def ask(stubs: str) -> dict[str, Any]:
    """What the runtime says of itself, and how loading each plugin went.

    Args:
        stubs: `major.minor` that stubs ask for.

    Returns:
        `version`, `folder`, `backend`; `error`, why the runtime cannot be used; `native`, why the native codecs cannot
        be loaded (`missing`: they are not there); `stubs`, why it does not carry the stubs; `plugins`, a list
        of `group`, `name`, `place`, `package`, `error`. Strings are empty where there is nothing to say.
    """
    question = json.dumps({"path": sys.path, "stubs": stubs, "groups": GROUPS})
    # -P: a folder that happens to be where the command is run from is not the runtime.
    command = [sys.executable, "-P", "-c", _SCRIPT]
    try:
        done = subprocess.run(
            command, input=question, capture_output=True, text=True, timeout=_SECONDS, check=False, encoding="utf-8"
        )
    except subprocess.TimeoutExpired:
        return _silence(f"it did not answer within {_SECONDS:.0f} seconds")
    except OSError as error:
        return _silence(f"cannot run {sys.executable}: {error.strerror or error}")
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2]
        return _silence(f"a process that imports it and all plugins ended with {done.returncode}: {last}".rstrip(": "))
    return answer


def _silence(error: str) -> dict[str, Any]:
    return {"version": "", "folder": "", "error": error, "backend": "", "native": "", "stubs": "", "plugins": []}
