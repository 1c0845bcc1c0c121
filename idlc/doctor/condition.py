"""What was seen of an installation, and what is wrong with it.

An *error* is something that is broken: a command or a call will fail. A *warning* costs time or comfort only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["Backend", "Cache", "Condition", "Extra", "Finding", "Package", "Plugin", "Python", "Runtime"]

_REINSTALL = "pip install --force-reinstall idlc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be, and what can be done."""

    severity: Literal["error", "warning"]
    message: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """The interpreter; `wanted` is what the package asks for, empty if that is not known."""

    version: str
    implementation: str
    executable: str
    platform: str
    wanted: str
    is_satisfied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that is asked for; `found` is its version here, `None` if it is missing."""

    name: str
    wanted: str
    found: str | None
    is_satisfied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """What can be installed besides: `pip install 'idlc[name]'`."""

    name: str
    purpose: str
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The codecs that the runtime uses: `native`, `pure`, or empty if the runtime cannot be asked.

    Attributes:
        reason: why it is not the native one.
        help: what can be done about that; empty if it is wanted.
        compiler: path of a C compiler, `None` if none was found. It was only looked up.
    """

    name: str
    reason: str
    help: str
    compiler: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What `idlrt` said of itself.

    Attributes:
        error: why it cannot be used; empty if it can.
        stubs: `major.minor` that stubs of this idlc ask for.
        stubs_error: why the runtime does not carry them; empty if it does.
    """

    version: str
    folder: str
    error: str
    stubs: str
    stubs_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The folder for what can be made again; `error` says why it cannot be written to, empty if it can."""

    folder: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """An entry point: `place` is what it loads, `package` who registered it, `error` why it fails to load."""

    group: str
    name: str
    place: str
    package: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """All that was seen.

    Attributes:
        metadata: version of the installed package as its metadata has it, `None` if there is none.
        metadata_error: why requirements could not be read.
    """

    version: str
    folder: str
    metadata: str | None
    metadata_error: str
    python: Python
    dependencies: tuple[Package, ...]
    extras: tuple[Extra, ...]
    runtime: Runtime
    backend: Backend
    cache: Cache
    plugins: dict[str, tuple[Plugin, ...]]

    @property
    def is_fine(self) -> bool:
        """Whether nothing is broken; warnings are no failure."""
        return all(finding.severity != "error" for finding in self.findings())

    def findings(self) -> list[Finding]:
        """What is not as it should be, what is broken first."""
        return sorted(self._findings(), key=lambda finding: finding.severity)

    def _findings(self) -> Iterator[Finding]:
        yield from self._of_the_package()
        yield from self._of_the_runtime()
        for group, plugins in self.plugins.items():
            for plugin in plugins:
                if plugin.error:
                    what = f"{group} {plugin.name!r} ({plugin.place}) fails to load: {plugin.error}"
                    yield _error(what, f"upgrade or uninstall {plugin.package or 'the package that registers it'}")
            if not plugins and not self.runtime.error and self.metadata is not None:
                yield _error(f"no {group} is registered", f"install the package again: {_REINSTALL}")
        if self.cache.error:
            what = f"cannot write to the cache folder {self.cache.folder}: {self.cache.error}"
            yield _warning(
                what, "set IDLC_CACHE_DIR to a folder that can be written to; without one compiling is slower"
            )

    def _of_the_package(self) -> Iterator[Finding]:
        if self.metadata is None:
            yield _error("idlc runs from files that are not installed", "install them: pip install -e .")
        elif self.metadata != self.version:
            what = f"idlc is {self.version}, but what is registered of it is from {self.metadata}"
            yield _warning(what, f"install it again: {_REINSTALL}")
        if self.metadata_error:
            yield _error(self.metadata_error, f"install the package again: {_REINSTALL}")
        if not self.python.is_satisfied:
            what = f"python is {self.python.version}, idlc needs {self.python.wanted}"
            yield _error(what, "use a newer Python")
        for package in self.dependencies:
            if not package.is_satisfied:
                present = "is missing" if package.found is None else f"is {package.found}"
                what = f"the base dependency {package.name} {present}, idlc needs {package.wanted or 'any version'}"
                yield _error(what, f"install it: pip install '{package.name}{package.wanted}'")

    def _of_the_runtime(self) -> Iterator[Finding]:
        if self.runtime.error:
            yield _error(f"the runtime idlrt cannot be used: {self.runtime.error}", f"install it again: {_REINSTALL}")
        elif self.runtime.stubs_error:
            what = f"stubs of this idlc do not run on this idlrt: {self.runtime.stubs_error}"
            yield _error(what, f"install both again, they are one package: {_REINSTALL}")
        if self.backend.name == "pure" and self.backend.help:
            yield _warning(f"the codecs are the pure ones: {self.backend.reason}", self.backend.help)


def _error(message: str, help: str) -> Finding:
    return Finding(severity="error", message=message, help=help)


def _warning(message: str, help: str) -> Finding:
    return Finding(severity="warning", message=message, help=help)
