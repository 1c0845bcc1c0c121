"""OpenAPI 3.1 documents of services, from their descriptions, and a page that shows them."""

from idlrt.openapi.document import openapi_document, openapi_json
from idlrt.openapi.options import OpenApiOptions
from idlrt.openapi.pages import static_pages

__all__ = ["OpenApiOptions", "openapi_document", "openapi_json", "static_pages"]
