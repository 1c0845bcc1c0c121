namespace py acme.names
include "class.thrift"
include "rpc.thrift"
include "_hidden.thrift"
include "GET.thrift"

enum Kind { name = 1, value = 2, None = 3, self = 4, mro = 5, from = 6 }
enum Color { RED }
typedef list<Point> Points
struct Point { 1: i32 x }

struct int { 1: i32 int, 2: list<i32> list, 3: map<string, bool> dict, 4: string str }

struct Fields {
  1: required i32 from,
  2: string class = "a",
  3: list<i32> None = [1],
  4: i32 _private,
  5: i32 __mangled,
  6: i32 self,
  7: i32 rpc,
  8: Color Color = 0,
  9: Points Points,
  10: Point Point,
  11: class.Taken Taken,
  12: rpc.Carried carried = {"x": 1},
  13: _hidden.Hidden hidden = {"x": 1},
  14: _hidden.Shade shade = 1,
  15: Fields Fields,
  16: i32 match,
  17: i32 type,
}

union Final { 1: i32 from, 2: string self }

exception Protocol { 1: string args, 2: string with_traceback, 3: i32 message, 4: i32 class }

const int lambda = {"int": 1}
const Fields filled = {"from": 1, "_private": 2, "Color": 0}

service names { Point Point(1: Point Point), Points list(1: Points Points), GET.Got get(1: GET.Got _GET) }
service Wire { void using(), void connect(1: i32 self, 2: i32 None) }
