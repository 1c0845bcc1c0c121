"""Import of the runtime and of all plugins, in a child process.

The compiler does not import the runtime, and a plugin may do anything when it is loaded: print, hang, or end the
process. The child process has the same `sys.path` as this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

__all__ = ["GROUPS", "load_runtime_and_plugins"]

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
"""Entry point groups of the compiler and of the runtime."""

_SECONDS = 60.0

# The reply goes to the original standard output; output of plugins is redirected to standard error.
_SCRIPT = """
import os, sys
answer_to = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import importlib.metadata, importlib.util, json
request = json.load(sys.stdin)
sys.path[:] = request["path"]

def text(error):
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
            answer["native"] = text(error)
    try:
        import idlrt.codegen
        idlrt.codegen.requires(request["stubs"])
    except Exception as error:
        answer["stubs"] = text(error)
except Exception as error:
    answer["error"] = text(error)
for group in request["groups"]:
    for entry in sorted(importlib.metadata.entry_points(group=group), key=lambda entry: entry.name):
        error = ""
        try:
            entry.load()
        except BaseException as failure:
            error = text(failure)
        package = entry.dist.name if entry.dist is not None else ""
        answer["plugins"].append(
            {"group": group, "name": entry.name, "place": entry.value, "package": package, "error": error}
        )
json.dump(answer, answer_to)
answer_to.flush()
os._exit(0)  # without waiting for threads that a plugin has started
"""


def load_runtime_and_plugins(stubs: str) -> dict[str, Any]:
    """Return facts about the runtime, and the result of loading each plugin.

    Args:
        stubs: `major.minor` version that stubs require.

    Returns:
        `version`, `folder` and `backend` of the runtime; `error`, the reason why it cannot be imported; `native`, the
        reason why the native codecs cannot be loaded (`missing`: they are not installed); `stubs`, the reason why the
        runtime does not support the stubs; `plugins`, a list of dictionaries with `group`, `name`, `place`, `package`
        and `error`. Reasons are empty if there is no error.
    """
    question = json.dumps({"path": sys.path, "stubs": stubs, "groups": GROUPS})
    # -P: the working directory is not searched, because a folder `idlrt` in it is not the runtime.
    command = [sys.executable, "-P", "-c", _SCRIPT]
    try:
        done = subprocess.run(
            command, input=question, capture_output=True, text=True, timeout=_SECONDS, check=False, encoding="utf-8"
        )
    except subprocess.TimeoutExpired:
        return _failure(f"timed out after {_SECONDS:.0f} seconds")
    except OSError as error:
        return _failure(f"cannot run {sys.executable}: {error.strerror or error}")
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = done.stderr.strip().rpartition("\n")[2]
        what = f"the process that imports it and all plugins exited with {done.returncode}"
        return _failure(f"{what}: {last}" if last else what)
    return answer


def _failure(error: str) -> dict[str, Any]:
    return {"version": "", "folder": "", "error": error, "backend": "", "native": "", "stubs": "", "plugins": []}
