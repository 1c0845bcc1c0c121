# The primitives of writing the compact protocol.
#
# Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md

cdef inline void put_varint(Output* out, uint64_t value) noexcept:
    # Seven bits in each byte, the lowest first; at most ten bytes.
    cdef unsigned char* p = out.p
    while value >= 0x80:
        p[0] = <unsigned char>(value | 0x80)
        p += 1
        value >>= 7
    p[0] = <unsigned char>value
    out.p = p + 1

cdef inline void put_compact_head(Output* out, unsigned char compact, int16_t id, int16_t last) noexcept:
    cdef int delta = <int>id - <int>last
    if 0 < delta <= 15:
        out.p[0] = <unsigned char>(delta << 4) | compact
        out.p += 1
    else:
        out.p[0] = compact
        out.p += 1
        put_varint(out, zigzag(id))
