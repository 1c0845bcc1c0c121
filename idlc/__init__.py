"""idlc, an IDL compiler: it compiles a Thrift-compatible IDL into small typed Python stubs.

Each folder is a stage of the pipeline: `source` reads files, `syntax` parses them, `model` links them, `checks`
validates them, `codegen` generates code. `driver` runs the pipeline, `cli` is the command line.
"""

from idlc.version import __version__

__all__ = ["__version__"]
