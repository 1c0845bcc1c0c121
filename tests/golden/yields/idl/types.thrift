namespace py acme.yields

struct AsyncRepository { 1: string name }
struct users { 1: list<string> names }
enum AsyncUsersClient { ONE = 1 }
