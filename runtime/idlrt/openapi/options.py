"""Options of OpenAPI documents."""

from __future__ import annotations

import msgspec

__all__ = ["OpenApiOptions"]


class OpenApiOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of a document, and options of the server that it describes.

    Attributes:
        title: title of the API; empty: the first sentence of the comment at the top of the IDL file, or else the names
            of the services.
        version: version of the API.
        description: description of the API, as CommonMark; empty: the rest of that comment.
        prefix: path in front of all routes.
        servers: base URLs; empty: the host that serves the document.
        i64_as_text: whether the server writes `i64` as text.
        enums_as_numbers: whether the server writes enums as numbers.
        require_token: whether callers need a bearer token.
        package: package that is left out of the names of schemas that several namespaces have.
    """

    title: str = ""
    version: str = "0"
    description: str = ""
    prefix: str = ""
    servers: tuple[str, ...] = ()
    i64_as_text: bool = False
    enums_as_numbers: bool = False
    require_token: bool = False
    package: str = ""
