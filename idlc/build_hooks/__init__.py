"""Build hooks: hatchling and setuptools generate stubs before they build a package.

`hatch` and `setuptools` are plugins of these build backends, which find them by entry points. Neither is a dependency
of idlc: a module is imported by its own backend only.
"""

from idlc.build_hooks.generation import BuildError, BuildOptions, Built, generate_for_build

__all__ = ["BuildError", "BuildOptions", "Built", "generate_for_build"]
