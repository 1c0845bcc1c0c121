namespace py acme.names.import
struct Got { 1: i32 x }
