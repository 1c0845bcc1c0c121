"""Stubs compiled on the fly, so that tools need only the IDL files.

They are compiled in memory. Nothing is written, except for the caches of the compiler.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from idlrt.client import AsyncClient, Client
from idlrt.errors import ConfigurationError
from idlrt.spec import Method, Service

__all__ = ["Stubs", "stubs_of"]


class Stubs:
    """Services of compiled IDL files and of the files that they include.

    Args:
        modules: modules of the files.
        included: modules of the included files.
    """

    def __init__(self, modules: Sequence[ModuleType], included: Sequence[ModuleType] = ()) -> None:
        self.clients: dict[str, type[Client]] = {}
        self.async_clients: dict[str, type[AsyncClient]] = {}
        self._add(modules)
        self._own = tuple(self.clients)
        self._add(included)

    def _add(self, modules: Sequence[ModuleType]) -> None:
        for module in modules:
            for value in vars(module).values():
                if not isinstance(value, type) or "__thrift_service__" not in vars(value):
                    continue
                if issubclass(value, Client):
                    self.clients.setdefault(value.__thrift_service__.name, value)
                elif issubclass(value, AsyncClient):
                    self.async_clients.setdefault(value.__thrift_service__.name, value)

    def service(self, name: str) -> Service:
        """Return a service by name; without a name, the only one in the files that no other service extends.

        Raises:
            ConfigurationError: it does not exist, or, without a name, there are several.
        """
        if not name:
            services = [self.clients[each].__thrift_service__ for each in self._own or self.clients]
            extended = {id(parent) for each in services for parent in _parents(each)}
            leaves = [each for each in services if id(each) not in extended]
            if len(leaves) == 1:
                return leaves[0]
        if name not in self.clients:
            what = f"unknown service {name!r}" if name else "the service is ambiguous; name one"
            raise ConfigurationError(f"{what} {_known(name, self.clients)}")
        return self.clients[name].__thrift_service__

    def method(self, name: str) -> tuple[Service, Method[..., Any]]:
        """Return the method `Service.method`; the service may be omitted if there is only one.

        Raises:
            ConfigurationError: it does not exist.
        """
        service_name, _, method_name = name.rpartition(".")
        service = self.service(service_name)
        if method_name not in service.methods:
            what = f"unknown method {method_name!r} of {service.name}"
            raise ConfigurationError(f"{what} {_known(method_name, service.methods)}")
        return service, service.methods[method_name]


def stubs_of(files: Sequence[Path], include_dirs: Sequence[Path] = (), *, prefer_others: bool = False) -> Stubs:
    """Compile IDL files and import the generated modules.

    Args:
        prefer_others: whether existing modules of the same names take precedence, so that a handler and the tool use
            the same classes.

    Raises:
        ConfigurationError: the files have errors, which were written to standard error.
    """
    import idlc  # here: most tools have no IDL files to compile, and importing the compiler takes time

    try:
        found = idlc.load_all(files, include_dirs=include_dirs, package="", prefer_installed=prefer_others)
    except idlc.IdlError as error:
        sys.stderr.write(f"{error}\n")
        raise ConfigurationError(f"cannot compile {', '.join(map(str, files))}") from None
    except ImportError as error:
        raise ConfigurationError(
            f"cannot import {error.name}: {error}; check for another package of that name in the current folder"
        ) from error
    return Stubs(found.requested, found.included)


def _parents(service: Service) -> list[Service]:
    parents: list[Service] = []
    while service.extends is not None:
        service = service.extends
        parents.append(service)
    return parents


def _known(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"(known: {', '.join(sorted(known)) or 'none'}){hint}"
