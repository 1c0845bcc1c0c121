/* Numbers, text and memory in plain C, where Cython would be hard to read; used by `_native.pyx`.
 *
 * Nothing here reads or writes through a pointer of another type than `unsigned char`, shifts a negative number
 * or lets a signed number overflow, so that no input can lead to undefined behaviour. Compilers make single
 * instructions of the loads and stores. Everything runs with the GIL held.
 */
#ifndef IDLRT_BYTES_H
#define IDLRT_BYTES_H

#include <Python.h>
#include <stdint.h>
#include <string.h>
#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h>
#endif

#define IDLRT_LIKELY(x) (x)
#define UNLIKELY(x) (x)
#if defined(__GNUC__)
#undef IDLRT_LIKELY
#define IDLRT_LIKELY(x) __builtin_expect(!!(x), 1)
#undef UNLIKELY
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#endif

/* Big-endian, as the binary protocol has them. */

static inline uint16_t get_16(const unsigned char *p) { return (uint16_t)((uint16_t)(p[0] << 8) | p[1]); }

static inline uint32_t get_32(const unsigned char *p) {
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | (uint32_t)p[3];
}

static inline uint64_t get_64(const unsigned char *p) { return ((uint64_t)get_32(p) << 32) | get_32(p + 4); }

static inline void put_16(unsigned char *p, uint16_t v) {
    p[0] = (unsigned char)(v >> 8);
    p[1] = (unsigned char)v;
}

static inline void put_32(unsigned char *p, uint32_t v) {
    p[0] = (unsigned char)(v >> 24);
    p[1] = (unsigned char)(v >> 16);
    p[2] = (unsigned char)(v >> 8);
    p[3] = (unsigned char)v;
}

static inline void put_64(unsigned char *p, uint64_t v) {
    put_32(p, (uint32_t)(v >> 32));
    put_32(p + 4, (uint32_t)v);
}

/* Number of bits of a number; 0 for 0. */
static inline int bit_length(uint64_t v) {
#if defined(__GNUC__)
    return v ? 64 - __builtin_clzll(v) : 0;
#else
    int n = 0;
    for (; v; v >>= 1) n++;
    return n;
#endif
}

/* Little-endian: the doubles of the compact protocol. */

static inline uint64_t get_64_little(const unsigned char *p) {
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = (v << 8) | p[i];
    return v;
}

static inline void put_64_little(unsigned char *p, uint64_t v) {
    for (int i = 0; i < 8; i++) p[i] = (unsigned char)(v >> (8 * i));
}

/* A varint of the compact protocol: seven bits in each byte, the lowest first. Answers how many bytes it takes; 0 if it
 * takes more than 8, or less than 8 bytes are left of `left` and it takes more than one. Without a loop: bytes up to the
 * last one, and then pairs of ever longer groups of bits are moved together. */
static inline int get_varint(const unsigned char *p, Py_ssize_t left, uint64_t *value) {
    if (left > 0 && p[0] < 0x80) {
        *value = p[0];
        return 1;
    }
#if defined(__GNUC__)
    if (left >= 8) {
        uint64_t word = get_64_little(p), stops = ~word & 0x8080808080808080u;
        if (stops != 0) {
            word &= (stops ^ (stops - 1)) & 0x7F7F7F7F7F7F7F7Fu;
            word = (word & 0x007F007F007F007Fu) | (word & 0x7F007F007F007F00u) >> 1;
            word = (word & 0x00003FFF00003FFFu) | (word & 0x3FFF00003FFF0000u) >> 2;
            *value = (word & 0x0FFFFFFFu) | (word & 0x0FFFFFFF00000000u) >> 4;
            return (__builtin_ctzll(stops) >> 3) + 1;
        }
    }
#endif
    return 0;
}

static inline double double_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* Two's complement without relying on what the compiler makes of a number that does not fit. */

static inline int64_t signed_64(uint64_t v) {
    int64_t value;
    memcpy(&value, &v, sizeof(value));
    return value;
}

static inline int32_t signed_32(uint32_t v) {
    int32_t value;
    memcpy(&value, &v, sizeof(value));
    return value;
}

static inline int16_t signed_16(uint16_t v) {
    int16_t value;
    memcpy(&value, &v, sizeof(value));
    return value;
}

static inline int8_t signed_8(unsigned char v) {
    int8_t value;
    memcpy(&value, &v, sizeof(value));
    return value;
}

static inline uint64_t zigzag(int64_t value) { return ((uint64_t)value << 1) ^ (value < 0 ? ~(uint64_t)0 : 0); }

static inline int64_t unzigzag(uint64_t value) { return signed_64((value >> 1) ^ (~(value & 1) + 1)); }

/* Bytes that a value of each type of the binary protocol takes at least; 0 for what is no type. */
static const unsigned char SMALLEST[17] = {0, 0, 1, 1, 8, 0, 2, 0, 4, 0, 8, 4, 1, 6, 5, 5, 16};

/* The same for the types of the compact protocol, and which types of the binary one they are: minus the
 * number for what is no type. */
static const unsigned char COMPACT_SMALLEST[16] = {0, 1, 1, 1, 1, 1, 1, 8, 1, 1, 1, 1, 1, 16, 0, 0};
static const signed char COMPACT_CODES[16] = {0, 2, 2, 3, 6, 8, 10, 4, 11, 15, 14, 13, 12, 16, -14, -15};

/* Thrift's JSON: names of types by the numbers of the binary protocol; what stands before a value, and what comes after
 * it (see `_json_layout.py`); characters behind the backslash of an escape; digits. */
static const char *const JSON_NAMES[17] = {
    NULL, NULL, "tf", "i8", "dbl", NULL, "i16", NULL, "i32", NULL, "i64", "str", "rec", "map", "set", "lst", "uid",
};
static const unsigned char JSON_BEFORE[5] = {0, ',', 0, ':', ','};
static const unsigned char JSON_AFTER[5] = {0, 1, 3, 4, 3};
static const unsigned char JSON_ESCAPES[128] = {
    ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\',
};
static const char HEX[] = "0123456789abcdef";
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Most strings are short, and a call of `memcpy` costs more than copying them. */
static inline void copy_bytes(void *to, const void *from, Py_ssize_t size) {
    unsigned char *t = (unsigned char *)to;
    const unsigned char *f = (const unsigned char *)from;
    uint64_t first[2], last[2];
    uint32_t head, tail;
    if (size > 32) {
        memcpy(t, f, (size_t)size);
    } else if (size >= 16) {
        memcpy(first, f, 16);
        memcpy(last, f + size - 16, 16);
        memcpy(t, first, 16);
        memcpy(t + size - 16, last, 16);
    } else if (size >= 8) {
        memcpy(first, f, 8);
        memcpy(last, f + size - 8, 8);
        memcpy(t, first, 8);
        memcpy(t + size - 8, last, 8);
    } else if (size >= 4) {
        memcpy(&head, f, 4);
        memcpy(&tail, f + size - 4, 4);
        memcpy(t, &head, 4);
        memcpy(t + size - 4, &tail, 4);
    } else {
        while (size-- > 0) *t++ = *f++;
    }
}

/* Text. Most of it is short and ASCII, so up to 32 bytes are looked at as a few words, which overlap. */

#define SHORT_TEXT 32
#define NOT_ASCII 0x8080808080808080u

typedef struct {
    uint64_t word[4];
} ShortText;

static inline uint64_t load_64(const unsigned char *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

static inline uint32_t load_32(const unsigned char *p) {
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

/* The words of 1 to SHORT_TEXT bytes. */
static inline ShortText load_short(const unsigned char *p, Py_ssize_t size) {
    ShortText text = {{0, 0, 0, 0}};
    if (size > 16) {
        text.word[0] = load_64(p);
        text.word[1] = load_64(p + 8);
        text.word[2] = load_64(p + size - 16);
        text.word[3] = load_64(p + size - 8);
    } else if (size >= 8) {
        text.word[0] = load_64(p);
        text.word[1] = load_64(p + size - 8);
    } else if (size >= 4) {
        text.word[0] = load_32(p);
        text.word[1] = load_32(p + size - 4);
    } else {
        text.word[0] = p[0];
        text.word[1] = p[size / 2];
        text.word[2] = p[size - 1];
    }
    return text;
}

static inline int is_short_ascii(const ShortText *text) {
    return ((text->word[0] | text->word[1] | text->word[2] | text->word[3]) & NOT_ASCII) == 0;
}

static inline int is_ascii(const unsigned char *p, Py_ssize_t size) {
    uint64_t all = 0;
    for (; size >= 8; p += 8, size -= 8) all |= load_64(p);
    while (size-- > 0) all |= *p++;
    return (all & NOT_ASCII) == 0;
}

/* A new `str` of ASCII whose bytes are still to come. */
static inline PyObject *make_ascii(Py_ssize_t size) { return PyUnicode_New(size, 127); }

/* A new `str` of `size` bytes of UTF-8, or NULL with an exception. What was looked at in words is stored as words. */
static inline PyObject *make_text(const unsigned char *p, Py_ssize_t size) {
    PyObject *made;
    unsigned char *to;
    if (size >= 8 && size <= 16) {
        uint64_t first = load_64(p), last = load_64(p + size - 8);
        if (IDLRT_LIKELY(((first | last) & NOT_ASCII) == 0)) {
            if ((made = make_ascii(size)) == NULL) return NULL;
            to = PyUnicode_1BYTE_DATA(made);
            memcpy(to, &first, 8);
            memcpy(to + size - 8, &last, 8);
            return made;
        }
    } else if (size >= 4 && size < 8) {
        uint32_t first = load_32(p), last = load_32(p + size - 4);
        if (IDLRT_LIKELY(((first | last) & (uint32_t)NOT_ASCII) == 0)) {
            if ((made = make_ascii(size)) == NULL) return NULL;
            to = PyUnicode_1BYTE_DATA(made);
            memcpy(to, &first, 4);
            memcpy(to + size - 4, &last, 4);
            return made;
        }
    } else if (size > 1 && is_ascii(p, size)) {
        if ((made = make_ascii(size)) == NULL) return NULL;
        copy_bytes(PyUnicode_1BYTE_DATA(made), p, size);
        return made;
    }
    return PyUnicode_DecodeUTF8((const char *)p, size, NULL); /* shares the texts of a single character */
}

/* Keys of maps are often repeated: the same `str` for the same bytes, with its hash already known.
 * A peer that sends random keys only evicts others. */

#define KEYS_KEPT 1024

static PyObject *kept_keys[KEYS_KEPT];

static inline size_t place_of(const ShortText *text, Py_ssize_t size) {
    /* Products that do not wait for each other; their high bits depend on all bits of the words. */
    uint64_t mixed = (text->word[0] + (uint64_t)size) * 0x9E3779B97F4A7C15u + text->word[1] * 0xC2B2AE3D27D4EB4Fu;
    mixed += text->word[2] * 0x165667B19E3779F9u + text->word[3] * 0x27D4EB2F165667C5u;
    return (size_t)(mixed >> 54) % KEYS_KEPT;
}

static PyObject *make_other_key(const unsigned char *p, Py_ssize_t size) {
    if (size < 2 || size > SHORT_TEXT) return make_text(p, size);
    ShortText text = load_short(p, size);
    PyObject **place = &kept_keys[place_of(&text, size)];
    PyObject *kept = *place;
    if (kept != NULL && PyUnicode_GET_LENGTH(kept) == size) {
        ShortText other = load_short(PyUnicode_1BYTE_DATA(kept), size);
        if (((text.word[0] ^ other.word[0]) | (text.word[1] ^ other.word[1]) | (text.word[2] ^ other.word[2]) |
             (text.word[3] ^ other.word[3])) == 0) {
            Py_INCREF(kept);
            return kept;
        }
    }
    if (!is_short_ascii(&text)) return PyUnicode_DecodeUTF8((const char *)p, size, NULL);
    PyObject *made = make_text(p, size);
    if (made != NULL) {
        Py_INCREF(made);
        *place = made;
        Py_XDECREF(kept);
    }
    return made;
}

/* Most keys have a length for which two words are enough, and are there. */
static inline PyObject *make_key(const unsigned char *p, Py_ssize_t size) {
    if (size >= 4 && size <= 16) {
        int is_long = size >= 8;
        ShortText text = {{is_long ? load_64(p) : load_32(p), is_long ? load_64(p + size - 8) : load_32(p + size - 4), 0, 0}};
        PyObject *kept = kept_keys[place_of(&text, size)];
        if (kept != NULL && PyUnicode_GET_LENGTH(kept) == size) {
            const unsigned char *data = (const unsigned char *)((PyASCIIObject *)kept + 1);
            if (text.word[0] == (is_long ? load_64(data) : load_32(data)) &&
                text.word[1] == (is_long ? load_64(data + size - 8) : load_32(data + size - 4))) {
                Py_INCREF(kept);
                return kept;
            }
        }
    }
    return make_other_key(p, size);
}

/* Numbers. */

/* The value of an `int`, or -1 with an exception if it needs more than 64 bits. */
static inline int64_t number_of(PyObject *value) {
#if PY_VERSION_HEX >= 0x030C0000
    if (PyUnstable_Long_IsCompact((PyLongObject *)value)) return PyUnstable_Long_CompactValue((PyLongObject *)value);
#else
    Py_ssize_t size = Py_SIZE(value); /* in digits, with the sign of the number */
    if (size == 1) return ((PyLongObject *)value)->ob_digit[0];
    if (size == 0) return 0;
    if (size == -1) return -(int64_t)((PyLongObject *)value)->ob_digit[0];
#endif
    return PyLong_AsLongLong(value);
}

/* A new `int`. Where `long` has 64 bits, CPython makes short ones of it faster than of `long long`. */
static inline PyObject *make_number(int64_t value) {
#if LONG_MAX >= 9223372036854775807
    return PyLong_FromLong((long)value);
#else
    return PyLong_FromLongLong(value);
#endif
}

/* Objects. */

/* A dict with room for `size` items; capped, because a peer can announce any number. */
static PyObject *make_dict(Py_ssize_t size) {
#if PY_VERSION_HEX < 0x030D0000
    if (size > 5) return _PyDict_NewPresized(size > 4096 ? 4096 : size);
#else
    (void)size;
#endif
    return PyDict_New();
}

/* Whether the garbage collector has to know an object that holds `value`. */
static inline int is_tracked(PyObject *value) {
    return PyType_HasFeature(Py_TYPE(value), Py_TPFLAGS_HAVE_GC) &&
           (!PyTuple_CheckExact(value) || PyObject_GC_IsTracked(value));
}

/* A new object of a class whose slots are all empty, which the garbage collector does not know yet. */
static PyObject *make_object(PyTypeObject *type) {
    if (!PyType_HasFeature(type, Py_TPFLAGS_HAVE_GC)) return type->tp_alloc(type, 0);
    PyObject *object = (PyObject *)PyObject_GC_New(PyObject, type);
    if (object != NULL) {
        PyObject **slot = (PyObject **)((char *)object + sizeof(PyObject)); /* there is nothing else behind the head */
        PyObject **end = (PyObject **)((char *)object + type->tp_basicsize);
        while (slot < end) *slot++ = NULL;
    }
    return object;
}

/* A new exception of a class, as `Exception.__new__` makes it. */
static PyObject *make_exception(PyTypeObject *type, PyObject *no_arguments) {
    return type->tp_new(type, no_arguments, NULL);
}

/* Takes `value`; what was in the slot before is not released. */
static inline void set_slot(PyObject *object, Py_ssize_t offset, PyObject *value) {
    *(PyObject **)((char *)object + offset) = value;
}

static inline PyObject *get_slot(PyObject *object, Py_ssize_t offset) {
    return *(PyObject **)((char *)object + offset);
}

#define RECORD_OFFSET(index) \
    ((Py_ssize_t)offsetof(PyTupleObject, ob_item) + (Py_ssize_t)(index) * (Py_ssize_t)sizeof(PyObject *))

/* Where the slot of a member lies within objects of its class; -1 if `descriptor` is not one. */
static Py_ssize_t slot_offset(PyObject *descriptor) {
    if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
    struct PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
    return member->type == 16 /* T_OBJECT_EX, Py_T_OBJECT_EX */ ? member->offset : -1;
}

#endif
