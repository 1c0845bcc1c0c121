namespace py acme.names
struct Taken { 1: i32 x }
