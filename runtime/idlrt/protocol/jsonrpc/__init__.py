"""JSON-RPC 2.0 over a stream, one message a line.

- A message is one line, a whole JSON text that ends with LF or CRLF. Empty lines are ignored. At the end of the stream
  the last line may lack its end. A line that is not JSON is answered with -32700, and the connection continues. A line
  of more than `Limits.max_message` bytes is answered with -32600, and the connection is closed.
- Methods are `get` (of the first service), `Service.get` and `Service:get`. `rpc.ping` is answered with `null`; other
  names that begin with `rpc.` are unknown methods.
- `params` are the names of the arguments, in the IDL or in Python, or an array in their order. Arguments that are
  absent have their defaults. Values are those of `idlrt.serialization.plain_json`.
- `meta` beside `params`, and in responses, has the metadata and typed values (`idlrt.protocol.jsonrpc.meta`).
- Errors have codes by a table (`idlrt.protocol.jsonrpc.codes`). An exception that the IDL declares is the code -32001,
  with `data` of `{"exception": "NotFound", "value": {...}}`.
- An id is repeated as the client wrote it: strings, numbers, `null`, of at most 1024 bytes. A request without an id is
  a notification: it is executed, and never answered, not even with an error. A oneway method that is called with an id
  is answered with `null` when it is done.
- A batch of at most 1000 requests, and at most `Limits.max_container`, is answered with one array when all its requests
  are done. They are executed like other requests, in no order. Responses that would make the array, or all unfinished
  arrays of the connection together, larger than `Limits.max_message` are replaced by an error. A batch of notifications
  is not answered.

Source: https://www.jsonrpc.org/specification
"""

from idlrt.protocol.jsonrpc.plugin import JsonRpcProtocol

__all__ = ["JsonRpcProtocol"]
