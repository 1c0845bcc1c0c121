"""Resources, and reasons of failures, for exporters that use the OpenTelemetry SDK."""

from __future__ import annotations

import logging
import platform
import re
import sys
import threading
import uuid
from collections.abc import Mapping
from os import getpid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

__all__ = ["Reason", "resource_of", "suppress_instrumentation"]

_TRANSIENT: Final = re.compile(r"Transient error (.*) encountered while exporting")


class Reason(logging.Filter):
    """Keeps what the SDK logs on this thread about a failure, which it does not tell otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self._has_text = False
        self.text = "the exporter has failed"

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread or record.levelno < logging.WARNING:
            return True
        if not self._has_text:
            # The first record has the cause; later ones are about retries.
            text = record.getMessage()
            found = _TRANSIENT.match(text)
            self.text = found[1] if found is not None else text.rstrip(".")
            self._has_text = True
        return False


def resource_of(given: Mapping[str, str]) -> Resource:
    """Return the resource of this process: its own attributes, those of variables, and given ones, which win."""
    from opentelemetry.sdk.resources import Resource

    own: dict[str, str | int] = {
        "host.name": platform.node(),
        "process.pid": getpid(),
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": platform.python_version(),
        "service.instance.id": str(uuid.uuid4()),
    }
    return Resource(own).merge(Resource.create(dict(given)))


def suppress_instrumentation() -> None:
    """Let instrumentation of HTTP clients ignore this thread, so that exports are not traced."""
    from opentelemetry import context

    key = getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")
    context.attach(context.set_value(key, True))
