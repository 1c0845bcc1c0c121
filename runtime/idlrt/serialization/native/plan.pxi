# Compiled field tables, one for all protocols: the type of each field, and the offset of its value in an object.
#
# A class keeps its plan in its own dictionary, so a plan lives as long as its class. Plans of classes that refer to
# each other are created together and published when all are complete.

cdef str PLAN_NAME = "__thrift_plan__"
cdef object plans_lock = threading.RLock()

cdef dict BASE_KINDS = {
    "bool": (BOOL, CODE_BOOL, 1), "i8": (I8, CODE_I8, 3), "i16": (I16, CODE_I16, 4), "i32": (I32, CODE_I32, 5),
    "i64": (I64, CODE_I64, 6), "double": (DOUBLE, CODE_DOUBLE, 7), "string": (STRING, CODE_STRING, 8),
    "binary": (BINARY, CODE_STRING, 8), "uuid": (UID, CODE_UID, 13),
}
# An enum's members are kept in an array as long as that has at most this many places.
cdef int64_t MOST_DENSE = 256

cdef enum Heads:
    NO_HEAD = 0x100  # no byte is that


cdef class Plan:
    # Compiled form of `__thrift_fields__` of a class, or of the fields of a record.
    cdef Layout layout
    cdef readonly str label
    cdef list kept          # owns what `layout` points to
    cdef void** shapes
    cdef int shape_count

    def __dealloc__(self):
        cdef int i
        for i in range(self.shape_count):
            PyMem_Free((<Shape*>self.shapes[i]).dense)
            PyMem_Free(self.shapes[i])
        PyMem_Free(self.shapes)
        PyMem_Free(self.layout.slots)

    cdef Shape* new_shape(self) except NULL:
        cdef void** shapes = <void**>PyMem_Realloc(self.shapes, (self.shape_count + 1) * sizeof(void*))
        if shapes == NULL:
            raise MemoryError
        self.shapes = shapes
        cdef Shape* shape = <Shape*>PyMem_Calloc(1, sizeof(Shape))
        if shape == NULL:
            raise MemoryError
        shapes[self.shape_count] = shape
        self.shape_count += 1
        return shape

    cdef PyObject* keep(self, object value) except NULL:
        self.kept.append(value)
        return <PyObject*>value

    cdef Shape* shape_of(self, object type, dict making) except NULL:
        cdef Shape* shape = self.new_shape()
        cdef Plan plan
        if isinstance(type, BaseType):
            kind, code, compact = BASE_KINDS[type.name]
            shape.kind, shape.code, shape.compact = kind, code, compact
        elif isinstance(type, EnumType):
            shape.kind, shape.code, shape.compact = ENUM, CODE_I32, 5
            # A class without members takes no numbers, but knows what is not a member.
            shape.cls = self.keep(type.cls if type.cls._value2member_map_ else type.cls._missing_)
            shape.members = self.keep(type.cls._value2member_map_)
            self.make_dense(shape, type.cls._value2member_map_)
        elif isinstance(type, StructType):
            shape.kind, shape.code, shape.compact = STRUCT, CODE_STRUCT, 12
            plan = plan_in(type.cls, making)
            self.kept.append(plan)
            shape.layout = &plan.layout
        elif isinstance(type, ListType):
            shape.kind, shape.code, shape.compact = LIST, CODE_LIST, 9
            shape.is_frozen = type.is_frozen
            shape.element = self.shape_of(type.element, making)
        elif isinstance(type, SetType):
            shape.kind, shape.code, shape.compact = SET, CODE_SET, 10
            shape.is_frozen = type.is_frozen
            shape.element = self.shape_of(type.element, making)
        elif isinstance(type, MapType):
            shape.kind, shape.code, shape.compact = MAP, CODE_MAP, 11
            shape.is_frozen = type.is_frozen
            shape.key = self.shape_of(type.key, making)
            shape.element = self.shape_of(type.value, making)
        else:
            raise TypeError(f"{type!r} has no place on the wire")
        if shape.kind == LIST or shape.kind == SET or shape.kind == MAP:
            shape.base, shape.each = decoded_size.container_cost(type), decoded_size.member_cost(type)
        if shape.kind == SET or shape.kind == MAP:
            shape.watched = hash_probes.watched_from(type.key if shape.kind == MAP else type.element)
        shape.width = SMALLEST[shape.code] if shape.kind < STRING else 0
        return shape

    cdef int make_dense(self, Shape* shape, dict members) except -1:
        if not members:
            return 0
        cdef int64_t first = min(members), last = max(members)
        if last - first >= MOST_DENSE:
            return 0
        shape.first, shape.span = first, last - first + 1
        shape.dense = <PyObject**>PyMem_Calloc(<size_t>shape.span, sizeof(PyObject*))
        if shape.dense == NULL:
            raise MemoryError
        for number, member in members.items():
            shape.dense[<int64_t>number - first] = <PyObject*>member  # the class keeps its members
        return 0

    cdef int fill(self, tuple fields, list offsets, list defaults, dict making) except -1:
        # `offsets` and `defaults` belong to `fields`; slots are in the order of the wire.
        cdef Slot* slot
        cdef int previous = 0
        order = sorted(range(len(fields)), key=lambda index: fields[index].id)
        self.layout.slots = <Slot*>PyMem_Calloc(max(len(fields), 1), sizeof(Slot))
        if self.layout.slots == NULL:
            raise MemoryError
        for index in order:
            field = fields[index]
            slot = &self.layout.slots[self.layout.count]
            slot.id = field.id
            slot.is_required = field.is_required
            slot.offset = offsets[index]
            slot.name = self.keep(sensitive.key_text(field, field.name))
            slot.attribute = self.keep(field.attribute)
            absent, default = defaults[index]
            slot.absent, slot.default = absent, self.keep(default)
            slot.shape = self.shape_of(field.type, making)
            set_heads(slot, slot.id - previous)
            previous = slot.id
            self.layout.count += 1
        return 0


cdef void set_heads(Slot* slot, int delta) noexcept:
    cdef uint16_t head = <uint16_t>(delta << 4) if 0 < delta <= 15 else NO_HEAD
    slot.compact_heads[0] = head | slot.shape.compact
    slot.compact_heads[1] = head | 2 if slot.shape.kind == BOOL else slot.compact_heads[0]
    slot.binary_head = <uint32_t>slot.shape.code << 16 | <uint16_t>slot.id


cdef Plan plan_in(object cls, dict making):
    # The plan of a class: one that is there, or a new one in `making`.
    found = cls.__dict__.get(PLAN_NAME)
    if found is None:
        found = making.get(cls)
    if found is not None:
        return found
    if not hasattr(cls, "__thrift_fields__"):
        raise LocalProtocolError(f"{cls.__qualname__} was not generated by idlc: it has no table of fields")
    cdef Plan plan = Plan.__new__(Plan)
    making[cls] = plan
    plan.kept = []
    plan.label = cls.__name__
    plan.layout.cls = plan.keep(cls)
    plan.layout.base = decoded_size.struct_cost(cls)
    plan.layout.is_union = issubclass(cls, Union)
    plan.layout.is_exception = issubclass(cls, DeclaredError)
    after = getattr(cls, "__post_init__", None)
    if after is not None and not plan.layout.is_exception:
        plan.layout.after = plan.keep(after)
    plan.layout.unknown = max(slot_offset(getattr(cls, NAME_UNKNOWN, None)), 0)
    fields = cls.__thrift_fields__
    offsets = [offset_in(cls, field.attribute) for field in fields]
    known = {} if plan.layout.is_union else class_defaults(cls)
    defaults = []
    for field in fields:
        default = known.get(field.attribute)
        if field.is_required:
            defaults.append((ABSENT_REQUIRED, None))
        else:
            defaults.append((ABSENT_MADE if callable(default) else ABSENT_CONSTANT, default))
    plan.fill(fields, offsets, defaults, making)
    return plan


cdef object offset_in(object cls, str attribute):
    for base in cls.__mro__:
        descriptor = base.__dict__.get(attribute)
        if descriptor is not None:
            offset = slot_offset(descriptor)
            if offset > 0:
                return offset
            break
    raise LocalProtocolError(f"{cls.__qualname__}.{attribute} is not a slot, so it cannot be read or written")


cdef Plan plan_of_class(object cls):
    found = cls.__dict__.get(PLAN_NAME)
    if found is not None:
        return found
    with plans_lock:
        making = {}
        plan = plan_in(cls, making)
        for made, its_plan in making.items():
            type.__setattr__(made, PLAN_NAME, its_plan)
    return plan


cdef Plan plan_of_record(tuple fields, tuple defaults, str label):
    cdef Plan plan = Plan.__new__(Plan)
    plan.label = label
    plan.kept = []
    plan.layout.base = decoded_size.record_cost(fields)
    absent = []
    for index, field in enumerate(fields):
        default = defaults[index] if index < len(defaults) else None
        if field.is_required:
            absent.append((ABSENT_REQUIRED, None))
        else:
            absent.append((ABSENT_MADE if callable(default) else ABSENT_CONSTANT, default))
    with plans_lock:
        making = {}
        plan.fill(fields, [RECORD_OFFSET(index) for index in range(len(fields))], absent, making)
        for made, its_plan in making.items():
            type.__setattr__(made, PLAN_NAME, its_plan)
    return plan
