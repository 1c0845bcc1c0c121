"""Embedded registry: a registry for one machine that needs no installation.

Run it with `idlrt registry serve` or within a program (`RegistryServer`); its URL is `embedded://127.0.0.1:7400`. It is
an ordinary service: described in `registry.idl`, compiled by idlc, served and called by idlrt.

It is a single process with a single file. Use ZooKeeper or etcd if the registry must survive the loss of its machine.
"""

from idlrt.embedded.access import Access, Rule
from idlrt.embedded.limits import Limits
from idlrt.embedded.server import DEFAULT_PORT, RegistryServer

__all__ = ["DEFAULT_PORT", "Access", "Limits", "RegistryServer", "Rule"]
