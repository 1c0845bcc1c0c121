"""Coverage-guided fuzzing of one target with atheris, that is with libFuzzer.

A target is a file with a function `check(data)`, which raises on a finding, and `seeds()`. It imports what it checks
inside `guided(__name__)`: as a program that counts which branches of our Python are taken, imported by a test it
changes nothing. The codecs in C count too if they were built for it (`build_native.py`).

libFuzzer's options are passed on. New inputs go to `build/fuzz/NAME`, or to the first folder that is named; it starts
from them, from `seeds()`, and from `corpus/NAME`, which the tests replay.

Sources: https://github.com/google/atheris, https://llvm.org/docs/LibFuzzer.html
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
CORPUS = FOLDER / "corpus"
FOUND = ROOT / "build" / "fuzz"

# What the tests of the codecs know of classes, values and bytes serves here too.
for _known in (ROOT / "tests" / "idlrt" / "serialization", FOLDER):
    if str(_known) not in sys.path:
        sys.path.insert(0, str(_known))


def guided(name: str) -> AbstractContextManager[Any]:
    """Where a target imports what it checks: it counts if `name` is that of a program.

    Raises:
        SystemExit: atheris is not there.
    """
    if name != "__main__":
        return contextlib.nullcontext()
    context: AbstractContextManager[Any] = _atheris().instrument_imports(
        include=["idlrt"], enable_loader_override=False
    )
    return context


def fuzz(check: Callable[[bytes], object], seeds: Callable[[], Iterable[bytes]]) -> None:
    """Fuzz until libFuzzer's options say that it is enough; does not return.

    Args:
        check: raises on a finding.
        seeds: the inputs to begin with.
    """
    atheris = _atheris()
    name = Path(sys.argv[0]).stem
    arguments = list(sys.argv)
    if all(argument.startswith("-") for argument in arguments[1:]):
        own = FOUND / name
        own.mkdir(parents=True, exist_ok=True)
        for seed in seeds():
            (own / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
        arguments += [str(own), *(str(each) for each in [CORPUS / name] if each.is_dir())]
    words = FOLDER / f"{name}.dict"
    if words.is_file():
        arguments.insert(1, f"-dict={words}")
    atheris.Setup(arguments, check)
    atheris.Fuzz()


def _atheris() -> Any:
    try:
        import atheris
    except ImportError:
        raise SystemExit("this needs atheris: python -m pip install --group fuzz") from None
    return atheris
