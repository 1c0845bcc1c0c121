"""Facts about an installation, and the findings that follow from them.

An *error* means that a command or a call will fail. A *warning* means that something is slow or inconvenient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["Backend", "Cache", "Extra", "Finding", "Installation", "Package", "Plugin", "Python", "Runtime"]

_REINSTALL = "pip install --force-reinstall idlc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem of the installation, and how to fix it."""

    severity: Literal["error", "warning"]
    message: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """The interpreter; `wanted` is the version that idlc requires, empty if unknown."""

    version: str
    implementation: str
    executable: str
    platform: str
    wanted: str
    is_satisfied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A required package; `wanted` is the required version, `found` the installed one, `None` if it is missing."""

    name: str
    wanted: str
    found: str | None
    is_satisfied: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """An optional feature and the packages that it requires; installed by `pip install 'idlc[name]'`."""

    name: str
    purpose: str
    packages: tuple[Package, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Codecs that the runtime uses.

    Attributes:
        name: `native` or `pure`; empty if the runtime cannot be imported.
        reason: reason why the codecs are not native.
        help: how to get native codecs; empty if the pure ones were requested.
        compiler: path of a C compiler, `None` if there is none. It is not run.
    """

    name: str
    reason: str
    help: str
    compiler: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The installed runtime, `idlrt`.

    Attributes:
        error: reason why it cannot be imported; empty if it can.
        stubs: `major.minor` version that stubs of this idlc require.
        stubs_error: reason why the runtime does not support these stubs; empty if it does.
    """

    version: str
    folder: str
    error: str
    stubs: str
    stubs_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The cache folder; `error` is the reason why it is not writable, empty if it is."""

    folder: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """An entry point.

    Attributes:
        group: entry point group.
        name: name within the group.
        place: object reference, `module:attribute`.
        package: distribution that registers it.
        error: reason why it cannot be loaded; empty if it can.
    """

    group: str
    name: str
    place: str
    package: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """All facts about an installation.

    Attributes:
        version: version of the compiler.
        folder: folder of its package.
        metadata: version in the metadata of the installed distribution, `None` if idlc is not installed.
        metadata_error: reason why requirements could not be checked; empty if they were.
        plugins: plugins by entry point group.
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
        """Whether there are no errors; warnings are allowed."""
        return all(finding.severity != "error" for finding in self.findings())

    def findings(self) -> list[Finding]:
        """Return all problems, errors first."""
        return sorted(self._findings(), key=lambda finding: finding.severity)

    def _findings(self) -> Iterator[Finding]:
        yield from self._of_the_package()
        yield from self._of_the_runtime()
        for group, plugins in self.plugins.items():
            for plugin in plugins:
                if plugin.error:
                    what = f"cannot load plugin {plugin.name!r} of {group} ({plugin.place}): {plugin.error}"
                    yield _error(what, f"upgrade or uninstall {plugin.package or 'the package that registers it'}")
            if not plugins and not self.runtime.error and self.metadata is not None:
                yield _error(f"no plugins of {group} are registered", f"reinstall idlc: {_REINSTALL}")
        if self.cache.error:
            what = f"cannot write to the cache folder {self.cache.folder}: {self.cache.error}"
            yield _warning(what, "set IDLC_CACHE_DIR to a writable folder; without a cache, compiling is slower")

    def _of_the_package(self) -> Iterator[Finding]:
        if self.metadata is None:
            yield _error("idlc runs from a source folder and is not installed", "install it: pip install -e .")
        elif self.metadata != self.version:
            what = f"version mismatch: idlc is {self.version}, but its installed metadata is of {self.metadata}"
            yield _warning(what, f"reinstall idlc: {_REINSTALL}")
        if self.metadata_error:
            yield _error(self.metadata_error, f"reinstall idlc: {_REINSTALL}")
        if not self.python.is_satisfied:
            what = f"Python {self.python.version} is not supported: idlc requires {self.python.wanted}"
            yield _error(what, "use a newer Python")
        for package in self.dependencies:
            if not package.is_satisfied:
                present = "is missing" if package.found is None else f"{package.found} is not supported"
                what = f"dependency {package.name} {present}: idlc requires {package.wanted or 'any version'}"
                yield _error(what, f"install it: pip install '{package.name}{package.wanted}'")

    def _of_the_runtime(self) -> Iterator[Finding]:
        if self.runtime.error:
            yield _error(f"cannot import the runtime idlrt: {self.runtime.error}", f"reinstall idlc: {_REINSTALL}")
        elif self.runtime.stubs_error:
            what = f"stubs of this idlc are incompatible with this idlrt: {self.runtime.stubs_error}"
            yield _error(what, f"reinstall both, which are one package: {_REINSTALL}")
        if self.backend.name == "pure" and self.backend.help:
            yield _warning(f"using pure Python codecs, which are slower: {self.backend.reason}", self.backend.help)


def _error(message: str, help: str) -> Finding:
    return Finding(severity="error", message=message, help=help)


def _warning(message: str, help: str) -> Finding:
    return Finding(severity="warning", message=message, help=help)
