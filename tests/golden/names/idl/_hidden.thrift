namespace py acme.names
struct Hidden { 1: i32 x }
enum Shade { DARK = 1 }
