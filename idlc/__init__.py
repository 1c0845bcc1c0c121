"""idlc, the IDL compiler: a Thrift-compatible IDL in, small typed Python stubs out.

The pipeline is the folder list: `source` reads files, `syntax` parses them, `model` links them,
`checks` judges them, `codegen` writes. `driver` runs it, `cli` is the command line.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
