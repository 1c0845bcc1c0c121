# Foundation of all parts of the extension: the C API with manual reference counting, the C structs of compiled field
# tables, and the two ends of a buffer.
#
# Objects in hot paths are `PyObject*`, and functions that return them are `noexcept`: NULL is an error, and either
# a Python exception is set or the input has the error (`input.pxi`). So errors cost nothing until there is one.

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove, memset, strlen

cdef extern from "Python.h":
    ctypedef struct PyObject:
        pass
    ctypedef struct PyTypeObject:
        pass

    void INCREF "Py_INCREF"(PyObject*) noexcept
    void DECREF "Py_DECREF"(PyObject*) noexcept
    void XDECREF "Py_XDECREF"(PyObject*) noexcept
    PyTypeObject* TYPE "Py_TYPE"(PyObject*) noexcept
    PyObject* NONE "Py_None"
    PyObject* TRUE "Py_True"
    PyObject* FALSE "Py_False"
    PyObject* RUNTIME_ERROR "PyExc_RuntimeError"
    PyObject* TYPE_ERROR "PyExc_TypeError"
    PyObject* VALUE_ERROR "PyExc_ValueError"
    PyObject* OVERFLOW_ERROR "PyExc_OverflowError"
    PyObject* RECURSION_ERROR "PyExc_RecursionError"
    PyObject* ATTRIBUTE_ERROR "PyExc_AttributeError"

    void PyErr_SetString(PyObject*, const char*) noexcept
    void PyErr_SetObject(PyObject*, PyObject*) noexcept
    PyObject* PyErr_NoMemory() noexcept
    PyObject* PyErr_Occurred() noexcept
    void PyErr_Clear() noexcept
    int Py_EnterRecursiveCall(const char*) noexcept
    void Py_LeaveRecursiveCall() noexcept

    int PyBool_Check(PyObject*) noexcept
    int PyLong_Check(PyObject*) noexcept
    int PyLong_CheckExact(PyObject*) noexcept
    PyObject* PyLong_FromLongLong(long long) noexcept
    PyObject* PyLong_FromLong(long) noexcept
    long long PyLong_AsLongLong(PyObject*) noexcept
    PyObject* PyNumber_Index(PyObject*) noexcept
    int PyFloat_CheckExact(PyObject*) noexcept
    double PyFloat_AS_DOUBLE(PyObject*) noexcept
    double PyFloat_AsDouble(PyObject*) noexcept
    PyObject* PyFloat_FromDouble(double) noexcept

    char* PyOS_double_to_string(double, char, int, int, int*) noexcept

    int PyUnicode_Check(PyObject*) noexcept
    int PyUnicode_IS_COMPACT_ASCII(PyObject*) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject*) noexcept
    void* PyUnicode_DATA(PyObject*) noexcept
    const char* PyUnicode_AsUTF8AndSize(PyObject*, Py_ssize_t*) noexcept
    PyObject* PyUnicode_AsEncodedString(PyObject*, const char*, const char*) noexcept
    PyObject* PyUnicode_DecodeUTF8(const char*, Py_ssize_t, const char*) noexcept
    int PyErr_ExceptionMatches(PyObject*) noexcept
    PyObject* UNICODE_ENCODE_ERROR "PyExc_UnicodeEncodeError"
    int PyBytes_CheckExact(PyObject*) noexcept
    char* PyBytes_AS_STRING(PyObject*) noexcept
    Py_ssize_t PyBytes_GET_SIZE(PyObject*) noexcept
    PyObject* PyBytes_FromStringAndSize(const char*, Py_ssize_t) noexcept

    ctypedef struct Py_buffer:
        void* buf
        Py_ssize_t len
    int PyBUF_SIMPLE
    int PyBUF_WRITABLE
    int PyObject_GetBuffer(PyObject*, Py_buffer*, int) noexcept
    void PyBuffer_Release(Py_buffer*) noexcept

    int PyList_CheckExact(PyObject*) noexcept
    PyObject* PyList_New(Py_ssize_t) noexcept
    Py_ssize_t PyList_GET_SIZE(PyObject*) noexcept
    PyObject* PyList_GET_ITEM(PyObject*, Py_ssize_t) noexcept
    void PyList_SET_ITEM(PyObject*, Py_ssize_t, PyObject*) noexcept
    int PyList_Append(PyObject*, PyObject*) noexcept
    PyObject* PyList_AsTuple(PyObject*) noexcept
    int PyTuple_CheckExact(PyObject*) noexcept
    PyObject* PyTuple_New(Py_ssize_t) noexcept
    Py_ssize_t PyTuple_GET_SIZE(PyObject*) noexcept
    PyObject* PyTuple_GET_ITEM(PyObject*, Py_ssize_t) noexcept
    PyObject* PySet_New(PyObject*) noexcept
    PyObject* PyFrozenSet_New(PyObject*) noexcept
    int PySet_Add(PyObject*, PyObject*) noexcept
    int PyDict_CheckExact(PyObject*) noexcept
    Py_ssize_t PyDict_GET_SIZE(PyObject*) noexcept
    int PyDict_Next(PyObject*, Py_ssize_t*, PyObject**, PyObject**) noexcept
    int PyDict_SetItem(PyObject*, PyObject*, PyObject*) noexcept
    PyObject* PyDict_GetItemWithError(PyObject*, PyObject*) noexcept
    Py_ssize_t PyObject_Size(PyObject*) noexcept
    PyObject* PyObject_GetIter(PyObject*) noexcept
    PyObject* PyIter_Next(PyObject*) noexcept
    PyObject* PyObject_GetAttr(PyObject*, PyObject*) noexcept
    PyObject* PyObject_CallNoArgs(PyObject*) noexcept
    PyObject* PyObject_CallOneArg(PyObject*, PyObject*) noexcept
    PyObject* PyObject_CallMethodNoArgs(PyObject*, PyObject*) noexcept
    int PyObject_IsTrue(PyObject*) noexcept
    void PyObject_GC_Track(void*) noexcept
    void PyObject_GC_UnTrack(void*) noexcept
    int PyObject_GC_IsTracked(PyObject*) noexcept

    Py_ssize_t PY_SSIZE_T_MAX
    void* PyMem_Malloc(size_t) noexcept
    void* PyMem_Calloc(size_t, size_t) noexcept
    void* PyMem_Realloc(void*, size_t) noexcept
    void PyMem_Free(void*) noexcept

    ctypedef Py_ssize_t Py_hash_t
    Py_hash_t PyObject_Hash(PyObject*) noexcept
    Py_ssize_t PySet_Size(PyObject*) noexcept

cdef extern from "probes.h":
    ctypedef struct Probes:
        uint64_t* bits
        int64_t left
    int probes_open(Probes*, Py_ssize_t, Py_ssize_t) noexcept
    void probes_find(Probes*, Py_hash_t) noexcept
    int probes_added(Probes*, Py_hash_t) noexcept
    void probes_close(Probes*) noexcept

cdef extern from "bytes.h":
    uint16_t get_16(const unsigned char*) noexcept
    uint32_t get_32(const unsigned char*) noexcept
    uint64_t get_64(const unsigned char*) noexcept
    void put_16(unsigned char*, uint16_t) noexcept
    void put_32(unsigned char*, uint32_t) noexcept
    void put_64(unsigned char*, uint64_t) noexcept
    int bit_length(uint64_t) noexcept
    uint64_t get_64_little(const unsigned char*) noexcept
    void put_64_little(unsigned char*, uint64_t) noexcept
    double double_of(uint64_t) noexcept
    uint64_t bits_of(double) noexcept
    int64_t signed_64(uint64_t) noexcept
    int32_t signed_32(uint32_t) noexcept
    int16_t signed_16(uint16_t) noexcept
    int8_t signed_8(unsigned char) noexcept
    uint64_t zigzag(int64_t) noexcept
    int64_t unzigzag(uint64_t) noexcept
    const unsigned char SMALLEST[17]
    const unsigned char COMPACT_SMALLEST[16]
    const signed char COMPACT_CODES[16]
    const char* const JSON_NAMES[17]
    const unsigned char JSON_BEFORE[5]
    const unsigned char JSON_AFTER[5]
    const unsigned char JSON_ESCAPES[128]
    const char HEX[17]
    const char BASE64[65]
    bint UNLIKELY(bint) noexcept
    void copy_bytes(void*, const void*, Py_ssize_t) noexcept
    int get_varint(const unsigned char*, Py_ssize_t, uint64_t*) noexcept
    int64_t number_of(PyObject*) noexcept
    PyObject* make_number(int64_t) noexcept
    PyObject* make_text(const unsigned char*, Py_ssize_t) noexcept
    PyObject* make_key(const unsigned char*, Py_ssize_t) noexcept
    PyObject* make_dict(Py_ssize_t) noexcept
    PyObject* make_object(PyTypeObject*) noexcept
    PyObject* make_exception(PyTypeObject*, PyObject*) noexcept
    int is_tracked(PyObject*) noexcept
    void set_slot(PyObject*, Py_ssize_t, PyObject*) noexcept
    PyObject* get_slot(PyObject*, Py_ssize_t) noexcept
    Py_ssize_t RECORD_OFFSET(Py_ssize_t) noexcept
    Py_ssize_t slot_offset(object) noexcept

# Kinds of values. The scalars of fixed size come first.
cdef enum Kind:
    BOOL, I8, I16, I32, I64, DOUBLE, ENUM, UID, STRING, BINARY, LIST, SET, MAP, STRUCT

# Type numbers of the binary protocol; error messages use them too (`idlrt.serialization.types.TypeId`).
cdef enum Code:
    CODE_STOP = 0, CODE_BOOL = 2, CODE_I8 = 3, CODE_DOUBLE = 4, CODE_I16 = 6, CODE_I32 = 8, CODE_I64 = 10
    CODE_STRING = 11, CODE_STRUCT = 12, CODE_MAP = 13, CODE_SET = 14, CODE_LIST = 15, CODE_UID = 16

cdef enum Protocol:
    IN_BINARY, IN_COMPACT, IN_JSON

# Kinds of defaults of absent fields; ABSENT_REQUIRED: the field is required.
cdef enum Absent:
    ABSENT_CONSTANT, ABSENT_MADE, ABSENT_REQUIRED

cdef struct Shape:
    # A compiled type. Its pointers are owned by its plan.
    Kind kind
    unsigned char code
    unsigned char compact
    unsigned char width  # bytes of a value in the binary protocol, if it has a fixed size, else 0
    bint is_frozen
    int64_t base       # memory charged for an empty container (`_decoded_size.py`)
    int64_t each       # and for each member
    Py_ssize_t watched # length from which on its keys are checked for collisions; 0: never (`_hash_probes.py`)
    Shape* key         # the key of a map
    Shape* element     # the element of a list or set, the value of a map
    Layout* layout     # of a struct
    PyObject* cls      # of an enum
    PyObject* members  # of an enum: number → member
    PyObject** dense   # of an enum with dense numbers: its members from `first` on, NULL for gaps
    int64_t first
    int64_t span

cdef struct Slot:
    # A compiled field.
    int16_t id
    uint16_t compact_heads[2]  # compact: its head behind the slot before it, in one byte; the second one of `false`
    uint32_t binary_head       # binary: its head
    bint is_required
    Py_ssize_t offset  # of its slot within an object of the class, or within a tuple
    Shape* shape
    PyObject* name
    PyObject* attribute
    Absent absent
    PyObject* default

cdef struct Layout:
    # A compiled class, or the compiled fields of a record.
    Slot* slots        # in the order of the wire
    int count
    bint is_union
    bint is_exception
    int64_t base       # memory charged for an object without its values (`_decoded_size.py`)
    PyObject* cls      # NULL of a record, whose values are a tuple
    PyObject* after    # `__post_init__`, or NULL
    Py_ssize_t unknown # the slot of unknown fields that are kept; 0 if there is none
