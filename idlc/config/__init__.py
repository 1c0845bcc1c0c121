"""Configuration of a project: `idlc.toml`, or `[tool.idlc]` in `pyproject.toml`."""

from idlc.config.reader import FILES, ConfigError, find_config, read_config
from idlc.config.schema import BreakingConfig, Config, FormatConfig, TargetConfig

__all__ = [
    "FILES",
    "BreakingConfig",
    "Config",
    "ConfigError",
    "FormatConfig",
    "TargetConfig",
    "find_config",
    "read_config",
]
