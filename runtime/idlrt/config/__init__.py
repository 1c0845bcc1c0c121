"""Configuration of services and calls: schema, files, settings in registries, and the merge of all layers."""

from idlrt.config.checks import Problem, check, invalid
from idlrt.config.effective import Effective, Layer, effective
from idlrt.config.read import ClientConfig, ConfigFile, ServerConfig, read_config
from idlrt.config.schema import ServicePolicy, flatten

__all__ = [
    "ClientConfig",
    "ConfigFile",
    "Effective",
    "Layer",
    "Problem",
    "ServerConfig",
    "ServicePolicy",
    "check",
    "effective",
    "flatten",
    "invalid",
    "read_config",
]
