"""Versions of libraries that adapters support."""

from __future__ import annotations

import re

from idlrt.errors import ConfigurationError

__all__ = ["check_version"]


def check_version(library: str, version: str, least: tuple[int, int], below: tuple[int, int]) -> None:
    """Check the version of a library.

    Args:
        library: name of the library.
        version: its version.
        least: oldest supported version.
        below: first version that is not supported, because it was not tested.

    Raises:
        ConfigurationError: the version is not supported.
    """
    match = re.match(r"(\d+)\.(\d+)", version)
    if match is None or not least <= (int(match[1]), int(match[2])) < below:
        supported = f"{least[0]}.{least[1]} and newer, below {below[0]}.{below[1]}"
        what = f"supported are versions from {supported}; use observe.resource around operations"
        raise ConfigurationError(f"cannot instrument {library} {version}: {what}")
