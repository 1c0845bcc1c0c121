"""Build hook of hatchling: `[tool.hatch.build.hooks.idlc]` in `pyproject.toml`.

The hook generates everything that the configuration of the project asks for, also for editable installs, and adds the
generated files to the build, so that they need not be under version control.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.plugin import hookimpl

from idlc.build_hooks.generation import BuildError, BuildOptions, generate_for_build

__all__ = ["IdlcBuildHook", "hatch_register_build_hook"]

_SPECIAL = re.compile(r"([\\*?\[\]!# ])")
_WHERE = "[tool.hatch.build.hooks.idlc]"
_OWN_KEYS = {"dependencies", "enable-by-default", "require-runtime-dependencies", "require-runtime-features"}


class IdlcBuildHook(BuildHookInterface[Any]):
    """Generate stubs before a wheel or an sdist is built.

    Options: `config`, a configuration file relative to the project; `check`, fail if files in the project are out of
    date instead of writing them.
    """

    PLUGIN_NAME = "idlc"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Generate, and add the generated files to the build; stop it if that fails."""
        root = Path(self.root).resolve()
        try:
            options = {key: value for key, value in self.config.items() if key not in _OWN_KEYS}
            built = generate_for_build(root, BuildOptions.read(options, _WHERE))
        except BuildError as error:
            self.app.abort(f"idlc: {error}")
            return
        for path in built.outputs:
            if path.is_relative_to(root):
                name = path.relative_to(root).as_posix()
                build_data["artifacts"].append("/" + _SPECIAL.sub(r"\\\1", name))


@hookimpl
def hatch_register_build_hook() -> type[IdlcBuildHook]:
    """Register the hook; hatchling finds this function by the entry point `hatch`."""
    return IdlcBuildHook
