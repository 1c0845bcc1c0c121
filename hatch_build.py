"""Builds the codecs in C as a part of the package; without a C compiler the package is a pure one.

hatchling calls the hook when it makes a wheel or an editable install. `python hatch_build.py` builds into the source
tree, for who works on the extension. The environment variable `IDLC_NATIVE` says what is wanted: `auto` (the
default: build if it can be built), `require` (fail if it cannot), `off` (do not try).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
SOURCE = Path("runtime/idlrt/serialization/_native.pyx")
MODULE = "idlrt.serialization._native"
FLAGS = ["-O3", "-fno-tree-vectorize", "-falign-functions=64"]
WANTED = ("auto", "require", "off")


class NativeHook(BuildHookInterface):
    """See the module."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and tell hatchling what to put into the wheel."""
        if self.target_name != "wheel":
            return
        built = build()
        if built is None:
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if version == "editable":
            _put(built)
        else:
            build_data["force_include"][str(built)] = f"idlrt/serialization/{built.name}"


def build() -> Path | None:
    """Compile the extension into a temporary folder; return `None` if it is off or cannot be built.

    Raises:
        RuntimeError: it is required and cannot be built.
        ValueError: `IDLC_NATIVE` has an unknown value.
    """
    wanted = os.environ.get("IDLC_NATIVE", "auto")
    if wanted not in WANTED:
        raise ValueError(f"IDLC_NATIVE must be one of {', '.join(WANTED)}, got {wanted!r}")
    if wanted == "off":
        return None
    try:
        if sys.implementation.name != "cpython":
            raise RuntimeError(f"it is for CPython, not for {sys.implementation.name}")
        return _compile(Path(tempfile.mkdtemp(prefix="idlc-native-")))
    except Exception as error:
        if wanted == "require":
            raise RuntimeError(f"cannot build the native codec: {error}") from error
        print(f"idlc: no native codec, the pure one will be used: {error}", file=sys.stderr)
        return None


def _put(built: Path) -> None:
    """Put it into the source tree, as a new file: programs that run have the old one open."""
    beside = ROOT / SOURCE.parent / f".{built.name}"
    shutil.copy2(built, beside)
    os.replace(beside, ROOT / SOURCE.parent / built.name)


def _compile(folder: Path) -> Path:
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    extension = Extension(
        MODULE,
        [str(SOURCE)],
        include_dirs=[str(ROOT / SOURCE.parent / "native")],
        # Vectorized loops cost these readers of short values more than they save. Without alignment the same code is up
        # to 10 % faster or slower, depending on what precedes it.
        # Calls of CPython go through its table of addresses without a jump in between.
        extra_compile_args=[] if os.name == "nt" else FLAGS + ["-fno-plt"] * (sys.platform == "linux"),
    )
    before = Path.cwd()
    os.chdir(ROOT)  # so that no path of this machine gets into the extension
    try:
        modules = cythonize(
            [extension],
            include_path=[str(SOURCE.parent)],
            build_dir=str(folder / "c"),
            quiet=True,
        )
        command = build_ext(Distribution({"name": "idlc", "ext_modules": modules}))
        command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "temp")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    [built] = (folder / "lib").rglob("_native.*")
    return built


if __name__ == "__main__":
    made = build()
    if made is None:
        print("the pure codecs will be used")
    else:
        _put(made)
        print(f"built {SOURCE.parent / made.name}")
