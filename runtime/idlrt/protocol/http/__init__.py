"""HTTP/1.1 as a protocol of servers: REST routes from the IDL's annotations, and JSON.

- **Routes** (`routes`): what the annotations say; without them `POST /Service/method` with a JSON object.
- **Requests**: `server` parses them by llhttp, `head` checks what llhttp accepts, `binding` reads the arguments.
- **Responses**: `results` encodes results and exceptions, `statuses` maps errors, `replies` writes the bytes.
- **Headers** (`metadata`): deadline, attempt, tag, trace context and metadata of calls.
- **Pages** (`pages`): static pages, and those of the admin port, which are calls of one method.

Sources: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 9457 (problem details)
"""

from idlrt.protocol.http.plugin import HttpProtocol

__all__ = ["HttpProtocol"]
