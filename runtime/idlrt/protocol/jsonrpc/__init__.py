"""JSON-RPC 2.0 over a stream, one message per line.

- A message is one line: a complete JSON text that ends with LF or CRLF. Empty lines are ignored. At the end of the
  stream the last line may lack its line break. A line that is not JSON is answered with -32700, and the connection
  stays open. A line of more than `Limits.max_message` bytes is answered with -32600, and the connection is closed.
- Methods are `get` (of the first service), `Service.get` and `Service:get`. `rpc.ping` is answered with `null`; other
  names that start with `rpc.` are unknown methods.
- `params` is an object with the names of the arguments, in the IDL or in Python, or an array in their order. Absent
  arguments have their defaults. Values are encoded as in `idlrt.serialization.plain_json`.
- `meta`, beside `params` and in responses, has the metadata and typed values (`idlrt.protocol.jsonrpc.meta`).
- Error codes are in `idlrt.protocol.jsonrpc.codes`. An exception that the IDL declares has the code -32001, with the
  `data` `{"exception": "NotFound", "value": {...}}`.
- An id is repeated as the client wrote it: a string, a number or `null`, of at most 1024 bytes. A request without an id
  is a notification: it is executed, but never answered, not even with an error. A oneway method that is called with an
  id is answered with `null` when it is done.
- A batch of at most 1000 requests, and at most `Limits.max_container`, is answered with one array when all its requests
  are done. They are executed like other requests, in any order. Responses that would make the array, or all unfinished
  arrays of the connection together, larger than `Limits.max_message` are replaced by an error. A batch of notifications
  is not answered.

Source: https://www.jsonrpc.org/specification
"""

from idlrt.protocol.jsonrpc.plugin import JsonRpcProtocol

__all__ = ["JsonRpcProtocol"]
