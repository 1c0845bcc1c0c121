"""OpenAPI 3.1 documents of services, from their descriptions."""

from idlrt.openapi.document import openapi_document, openapi_json
from idlrt.openapi.options import OpenApiOptions

__all__ = ["OpenApiOptions", "openapi_document", "openapi_json"]
