"""Hypothesis strategies for programs that use generated code: property tests of what takes or answers its values.

`values(User)` are users as peers may send them, with every extreme that the types of their fields have;
`arguments(method)` are what a handler may be called with. `structs()` and `types()` go further: they are
*classes* and types as idlc could have generated them, for tests of codecs.

Needs hypothesis: `pip install 'idlc[testing]'`. Nothing else of the runtime imports this package.
"""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError("idlrt.testing.strategies needs hypothesis: install it with `pip install 'idlc[testing]'`")

from idlrt.testing.strategies.made_classes import enums, structs, types
from idlrt.testing.strategies.values_of import arguments, of, values

__all__ = ["arguments", "enums", "of", "structs", "types", "values"]
