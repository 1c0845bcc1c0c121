namespace py acme.names
struct Carried { 1: i32 x }
