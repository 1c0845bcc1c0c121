namespace py acme.spread.one
struct Low { 1: i32 x }
enum Level { LOW = 1 }
const i32 DEPTH = 3
