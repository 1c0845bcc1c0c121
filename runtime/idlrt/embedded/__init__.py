"""The embedded registry: a registry without anything to install, for one machine.

`idlrt registry serve` runs it, or a program does (`RegistryServer`); `embedded://127.0.0.1:7400` is its URL. It is a
service like any other: described in `registry.idl`, compiled by idlc, served and called by idlrt.

It is one process with one file. Who needs a registry that survives its machine takes ZooKeeper or etcd.
"""

from idlrt.embedded.access import Access, Rule
from idlrt.embedded.limits import Limits
from idlrt.embedded.server import DEFAULT_PORT, RegistryServer

__all__ = ["DEFAULT_PORT", "Access", "Limits", "RegistryServer", "Rule"]
