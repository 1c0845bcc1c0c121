"""OpenAPI 3.1 documents of services: the routes that a server has, with their parameters, bodies and responses.

Source: OpenAPI Specification 3.1.0 (spec.openapis.org/oas/v3.1.0.html)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from idlrt.openapi.docs import NO_DOC, Doc
from idlrt.openapi.options import OpenApiOptions
from idlrt.openapi.requests import parameters, request_body
from idlrt.openapi.responses import PROBLEM, PROBLEM_SCHEMA, responses
from idlrt.openapi.scalars import Schema
from idlrt.openapi.schemas import Schemas
from idlrt.protocol.http.router import Router
from idlrt.protocol.http.routes import ANY_VERB, VERBS, Route, service_routes
from idlrt.protocol.http.templates import PathTemplate
from idlrt.spec import Method, Service

__all__ = ["openapi_document", "openapi_json"]

_VERBS_OF_ANY: Final = tuple(verb for verb in VERBS if verb not in ("HEAD", "OPTIONS"))
_DEFAULTS: Final = OpenApiOptions()


def openapi_json(services: Iterable[Service], options: OpenApiOptions = _DEFAULTS) -> bytes:
    """Return the OpenAPI document of services as JSON text, indented by 2 spaces.

    Raises:
        ConfigurationError: a route is invalid, or matches the same requests as another one.
    """
    return msgspec.json.format(msgspec.json.encode(openapi_document(services, options)), indent=2) + b"\n"


def openapi_document(services: Iterable[Service], options: OpenApiOptions = _DEFAULTS) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of services, as what `json.dumps` takes.

    Equal descriptions make equal documents.

    Args:
        services: services as served, in the order of the document.

    Raises:
        ConfigurationError: a route is invalid, or matches the same requests as another one.
    """
    served = [*services]
    schemas = Schemas(options)
    router: Router[Route] = Router()
    paths = _Paths()
    operations: set[str] = set()
    for service in served:
        for route in service_routes(service, options.prefix):
            router.add(route.verb, route.template, route)  # finds conflicts
            path, names = paths.of(route.template)
            for verb in _VERBS_OF_ANY if route.verb == ANY_VERB else (route.verb,):
                operation = _operation(msgspec.structs.replace(route, verb=verb), names, schemas, options)
                operation["operationId"] = _unique(operation["operationId"], verb, operations)
                paths.items[path][verb.lower()] = operation
    tags = [_tag(service, schemas) for service in served]
    found, components = schemas.complete(paths.items, {PROBLEM: PROBLEM_SCHEMA})
    document: dict[str, Any] = {"openapi": "3.1.0", "info": _info(served, options, schemas)}
    if options.servers:
        document["servers"] = [{"url": url} for url in options.servers]
    if options.require_token:
        document["security"] = [{"bearer": []}]
    document |= {"tags": tags, "paths": found, "components": {"schemas": components}}
    if options.require_token:
        document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return document


def _info(services: list[Service], options: OpenApiOptions, schemas: Schemas) -> Schema:
    methods = [method for service in services if (method := _own_method(service)) is not None]
    files = {method.function.__module__: method for method in methods if method.function is not None}
    doc = schemas.docs.of_module(*files.values()) if len(files) == 1 else NO_DOC
    names = ", ".join(service.name for service in services)
    found: Schema = {"title": options.title or doc.summary or names or "API", "version": options.version}
    text = options.description or ("" if options.title else doc.description)
    return found | ({"description": text} if text else {})


def _own_method(service: Service) -> Method[..., Any] | None:
    """Return a method that a service has not inherited; `None` if there is none."""
    return next((method for method in service.methods.values() if method.service == service.name), None)


def _tag(service: Service, schemas: Schemas) -> Schema:
    own = _own_method(service)
    text = schemas.docs.of_service(own) if own is not None else ""
    return {"name": service.name} | ({"description": text} if text else {})


class _Paths:
    """Paths of a document. Two templates that match the same paths are one path, with the variables of the first."""

    def __init__(self) -> None:
        self.items: dict[str, Schema] = {}
        self._known: dict[Any, tuple[str, tuple[str, ...]]] = {}

    def of(self, template: PathTemplate) -> tuple[str, Mapping[str, str]]:
        """Return the path of a template, and the names in it of the variables of the template."""
        known = self._known.get(template.shape)
        if known is None:
            names = template.variables
            # `{x}` and `{x=**}` are different templates.
            while (path := _path(template, names)) in self.items:
                names = tuple(f"{name}_" for name in names)
            self.items[path] = {}
            known = self._known[template.shape] = path, names
        path, names = known
        return path, dict(zip(template.variables, names, strict=True))


def _path(template: PathTemplate, names: tuple[str, ...]) -> str:
    left = iter(names)
    parts = (f"{each.prefix}{{{next(left)}}}{each.suffix}" if each.name else each.prefix for each in template.segments)
    return "/" + "/".join(parts)


def _unique(wish: str, verb: str, taken: set[str]) -> str:
    for name in _names(wish, verb):
        if name not in taken:
            taken.add(name)
            return name
    raise AssertionError("unreachable")


def _names(wish: str, verb: str) -> Iterator[str]:
    yield wish
    yield f"{wish}_{verb.lower()}"
    number = 2
    while True:
        yield f"{wish}_{verb.lower()}_{number}"
        number += 1


def _operation(route: Route, names: Mapping[str, str], schemas: Schemas, options: OpenApiOptions) -> dict[str, Any]:
    """Return the operation of a route.

    Args:
        names: names of its path variables in the document.
    """
    method = route.method
    doc = schemas.docs.of_method(method)
    found: dict[str, Any] = {"operationId": f"{route.service}_{method.name}", "tags": [route.service]}
    if doc.summary:
        found["summary"] = doc.summary
    found |= _description(doc, method.annotations.get("deprecated"))
    if chosen := parameters(route, schemas, doc, names):
        found["parameters"] = chosen
    body = request_body(route, schemas, doc)
    if body is not None:
        found["requestBody"] = body
    found["responses"] = responses(route, schemas, doc, require_token=options.require_token)
    if method.is_idempotent:
        found["x-idempotent"] = True
    timeout = _seconds(method.policy.get("timeout", ""))
    return found if timeout is None else found | {"x-timeout": timeout}


def _description(doc: Doc, deprecated: tuple[str, ...] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    texts = [doc.description]
    if deprecated is not None:
        found["deprecated"] = True
        texts.append(f"Deprecated: {deprecated[-1]}" if deprecated[-1] else "")
    text = "\n\n".join(filter(None, texts))
    return ({"description": text} if text else {}) | found


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None
