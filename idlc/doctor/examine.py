"""Collection of facts about the installation. It changes nothing, downloads nothing, and runs no compiler."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from idlc.doctor.installation import Backend, Cache, Extra, Installation, Package, Plugin, Python, Runtime
from idlc.doctor.probe import GROUPS, load_runtime_and_plugins
from idlc.resources import cache_dir
from idlc.version import __version__

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["PURPOSES", "examine"]

PURPOSES = {
    "base": "metrics of the host (idlrt.observe)",
    "dns": "DNS registries (dns://), with host and SRV records",
    "etcd": "etcd registries (etcd://)",
    "http": "HTTP servers and clients (http://)",
    "kafka": "packets and spans by Kafka (idlrt.collector)",
    "otlp": "export of metrics and spans by OTLP (idlrt.observe.export_otlp, OtlpSpanExporter)",
    "pinpoint": "traces by the agent of Pinpoint (idlrt.observe.tracing.exporters.PinpointExporter)",
    "prometheus": "metrics in programs with prometheus_client (idlrt.observe.PrometheusCollector)",
    "redis": "metrics of clients of Redis (idlrt.observe.instrument)",
    "testing": "hypothesis strategies for generated classes (idlrt.testing.strategies)",
    "zookeeper": "ZooKeeper registries (zookeeper://), with the layouts of Motan and Dubbo",
}
"""Purpose of each extra."""

_COMPILERS = ("cc", "gcc", "clang")
_VARIABLE = "IDLRT_BACKEND"
_BUILD = "pip install --force-reinstall --no-deps --no-binary idlc idlc"


def examine() -> Installation:
    """Examine the installation. It takes about a second, because a child process loads the runtime and all plugins."""
    stubs = ".".join(__version__.split(".")[:2])
    answer = load_runtime_and_plugins(stubs)
    distribution = _distribution()
    requirements, error = _requirements(distribution)
    compiler = _compiler()
    plugins = [Plugin(**plugin) for plugin in answer["plugins"]]
    return Installation(
        version=__version__,
        folder=str(Path(__file__).parents[1]),
        metadata=None if distribution is None else distribution.version,
        metadata_error=error,
        python=_python(distribution, can_judge=not error),
        dependencies=tuple(_package(each) for each in requirements if _is_asked(each, "")),
        extras=_extras(distribution, requirements),
        runtime=Runtime(
            version=answer["version"],
            folder=answer["folder"],
            error=answer["error"],
            stubs=stubs,
            stubs_error=answer["stubs"],
        ),
        backend=_backend(answer["backend"], answer["native"], compiler),
        cache=_cache(cache_dir()),
        plugins={group: tuple(plugin for plugin in plugins if plugin.group == group) for group in GROUPS},
    )


def _distribution() -> metadata.Distribution | None:
    try:
        return metadata.distribution("idlc")
    except metadata.PackageNotFoundError:
        return None


def _requirements(distribution: metadata.Distribution | None) -> tuple[list[Requirement], str]:
    """Return the requirements of idlc, and the reason why they could not be read (empty if they could)."""
    try:
        from packaging.requirements import Requirement
    except ImportError:  # itself a base dependency
        return [], "dependency packaging is missing: cannot check the versions of other dependencies"
    lines = (distribution.requires or []) if distribution else []
    return [Requirement(line) for line in sorted(lines)], ""


def _is_asked(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _extras(distribution: metadata.Distribution | None, requirements: list[Requirement]) -> tuple[Extra, ...]:
    names: list[str] = (distribution.metadata.get_all("Provides-Extra") or []) if distribution else []
    return tuple(
        Extra(
            name=name,
            purpose=PURPOSES.get(name, ""),
            packages=tuple(
                _package(each) for each in requirements if _is_asked(each, name) and not _is_asked(each, "")
            ),
        )
        for name in sorted(names)
    )


def _package(requirement: Requirement) -> Package:
    try:
        found: str | None = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        found = None
    return Package(
        name=requirement.name,
        wanted=str(requirement.specifier),
        found=found,
        is_satisfied=found is not None and requirement.specifier.contains(found, prereleases=True),
    )


def _python(distribution: metadata.Distribution | None, *, can_judge: bool) -> Python:
    wanted = ""
    if distribution is not None and "Requires-Python" in distribution.metadata:
        wanted = distribution.metadata["Requires-Python"]
    is_satisfied = True
    if wanted and can_judge:
        from packaging.specifiers import SpecifierSet

        is_satisfied = SpecifierSet(wanted).contains(platform.python_version(), prereleases=True)
    return Python(
        version=platform.python_version(),
        implementation=platform.python_implementation(),
        executable=sys.executable,
        platform=platform.platform(),
        wanted=wanted,
        is_satisfied=is_satisfied,
    )


def _compiler() -> str | None:
    """Return the path of the C compiler that a build would use: `$CC`, or the first of the usual names."""
    chosen = shlex.split(os.environ.get("CC", ""))
    found = (shutil.which(name) for name in (*chosen[:1], *_COMPILERS))
    return next((path for path in found if path), None)


def _backend(name: str, native: str, compiler: str | None) -> Backend:
    reason = help = ""
    if name == "pure":
        if os.environ.get(_VARIABLE) == "pure":
            reason = f"requested by {_VARIABLE}=pure"
        elif native not in ("", "missing"):
            reason, help = f"cannot load the native codecs: {native}", f"rebuild them: {_BUILD}"
        elif platform.python_implementation() != "CPython":
            reason = "the native codecs require CPython"
        elif compiler is None:
            reason = "the native codecs were not built, and there is no C compiler"
            help = f"install a C compiler and the headers of Python, then build the codecs: {_BUILD}"
        else:
            reason = "the native codecs were not built"
            help = f"build them, or see why that fails: IDLC_NATIVE=require {_BUILD}"
    return Backend(name=name, reason=reason, help=help, compiler=compiler)


def _cache(folder: Path) -> Cache:
    """Test whether the folder is writable or can be created, by writing: permission bits are not sufficient."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    error = ""
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as failure:
        error = failure.strerror or str(failure)
    return Cache(folder=str(folder), error=error)
