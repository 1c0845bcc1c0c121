"""Build the C codecs with sanitizers, in a copy of the package.

    python tests/fuzz/build_native.py fuzzer|sanitizer

`fuzzer` is for libFuzzer and needs clang: branches are counted, and each invalid address and undefined behaviour
ends the program. `sanitizer` is for the tests and works with gcc: the same without counting. `build/KIND/` then
holds a package `idlrt` of links to the sources with the instrumented extension; to use it, add it to `PYTHONPATH` and
set `LD_PRELOAD` to the runtime of the sanitizer (the command prints it).

Sources: https://clang.llvm.org/docs/AddressSanitizer.html, and "Fuzzing native extensions" of atheris.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "runtime" / "idlrt"

CHECKS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"
# The compiler, and what it is told.
KINDS = {
    "fuzzer": ("clang", f"-fsanitize=fuzzer-no-link {CHECKS}"),
    "sanitizer": ("gcc", CHECKS),
}


def build(kind: str) -> Path:
    """Build this kind; the folder for `PYTHONPATH`.

    Raises:
        RuntimeError: it cannot be built.
    """
    compiler, flags = KINDS[kind]
    os.environ |= {
        "IDLC_NATIVE": "require",
        "CC": compiler,
        "CFLAGS": flags,
        "LDSHARED": f"{compiler} -shared {flags}",
    }
    sys.path.insert(0, str(ROOT))
    import hatch_build

    built = hatch_build.build()
    assert built is not None
    folder = ROOT / "build" / kind
    shutil.rmtree(folder / "idlrt", ignore_errors=True)
    wire = folder / "idlrt" / "serialization"
    wire.mkdir(parents=True)
    for source, target in ((PACKAGE, wire.parent), (PACKAGE / "serialization", wire)):
        for each in source.iterdir():
            if each.name not in ("serialization", "__pycache__") and each.suffix not in (".so", ".pyd"):
                (target / each.name).symlink_to(each)
    shutil.move(built, wire / built.name)
    shutil.rmtree(built.parents[3])
    return folder


def runtime(kind: str) -> str:
    """Return the value of `LD_PRELOAD`: an extension alone cannot load the runtime of a sanitizer."""
    if kind == "fuzzer":
        import atheris

        return str(Path(atheris.path()) / "asan_with_fuzzer.so")
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return " ".join(libraries)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: build_native.py {'|'.join(KINDS)}")
    with open(os.dup(1), "w") as out:
        os.dup2(2, 1)  # compilers talk
        build(sys.argv[1])
        out.write(runtime(sys.argv[1]) + "\n")
