# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False, embedsignature=False, annotation_typing=False, binding=False
"""Codecs in C: the same bytes, values and errors as the pure codecs, in a fraction of the time.

A field table is compiled once into C structs with the offset of each field's slot within an object.
Writing walks over them once, into one buffer that grows; reading creates objects without calling their constructors
and fills their slots. The parts, in `native/`:

    bytes.h            numbers, text, memory                         (C)
    base.pxi           the C API, and the structs of compiled tables
    input.pxi          the input, and its errors
    output.pxi         the output, and the conversion of Python values
    plan.pxi           compiling tables
    objects.pxi        values, enums, uuids
    writer.pxi         writing a value by its plan, in any protocol
    reader.pxi         reading one
    unknown.pxi        unknown fields, as from a newer peer
    binary_*, compact_*, json_*.pxi      the primitives of each protocol
    codecs.pxi         codecs, the Python interface
    messages.pxi       frames, heads and arguments in one go
    header_messages.pxi  the same for THeader
    cells.pxi           cells of monitoring, which calls write to
    traces.pxi          headers of traces that are not sampled

Building is optional (`hatch_build.py`): where this module is missing, `idlrt.serialization` uses its pure codecs.
"""

cimport cython

import threading
from types import MappingProxyType
from uuid import UUID, SafeUUID

from idlrt.errors import LocalProtocolError, RemoteProtocolError
from idlrt.spec import (
    BaseType,
    DeclaredError,
    EnumType,
    FrozenMap,
    ListType,
    MapType,
    SetType,
    StructType,
    Union,
)
from idlrt.spec import UNKNOWN as UNKNOWN_SLOT
from idlrt.serialization import _json_text as json_text
from idlrt.serialization import _decoded_size as decoded_size
from idlrt.serialization import _hash_probes as hash_probes
from idlrt.serialization import _unknown as unknown
from idlrt.serialization import _sensitive as sensitive
from idlrt.serialization import errors as decode_errors
from idlrt.serialization import explain, options
from idlrt.serialization._binary_input import BinaryInput
from idlrt.serialization._binary_reader import _class_defaults as class_defaults
from idlrt.serialization._compact_input import CompactInput
from idlrt.serialization._json_input import JsonInput
from idlrt.serialization.base import Limits

include "native/base.pxi"

cdef tuple NOTHING = ()
cdef str NAME_BYTES = "bytes"
cdef str NAME_FIELDS = "__thrift_fields__"
cdef str NAME_UNKNOWN = UNKNOWN_SLOT
cdef int64_t FIELD_COST = decoded_size.FIELD
cdef int64_t UNKNOWN_MEMBER = decoded_size.UNKNOWN_MEMBER
cdef int64_t EXPANSION_FLOOR = decode_errors.EXPANSION_FLOOR
cdef object SAFE_UNKNOWN = SafeUUID.unknown
cdef Py_ssize_t uuid_int_offset = slot_offset(UUID.__dict__.get("int"))
cdef Py_ssize_t uuid_safe_offset = slot_offset(UUID.__dict__.get("is_safe"))

include "native/input.pxi"
include "native/output.pxi"
include "native/plan.pxi"
include "native/objects.pxi"
include "native/compact_writer.pxi"
include "native/json_writer.pxi"
include "native/binary_writer.pxi"
include "native/writer.pxi"
include "native/unknown.pxi"
include "native/reader.pxi"
include "native/binary_reader.pxi"
include "native/compact_reader.pxi"
include "native/json_reader.pxi"
include "native/codecs.pxi"
include "native/messages.pxi"
include "native/header_messages.pxi"
include "native/cells.pxi"
include "native/traces.pxi"
