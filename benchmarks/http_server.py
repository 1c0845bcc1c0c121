"""A process that serves `POST /echo` with JSON, with one of the libraries.

    python -m benchmarks.http_server KIND FOLDER

Prints its port, then the CPU seconds that it and its child processes have used for each line of input. Ends at the end
of its input.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = ["KINDS", "main", "stubs"]

IDL: Final = Path(__file__).with_name("http.thrift")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
KEPT: list[Any] = []


@cache
def stubs(folder: Path) -> Any:
    """Return our stubs, compiled into `folder`."""
    import importlib

    import idlc

    idlc.compile(sources=(IDL,), output=folder)
    sys.path.insert(0, str(folder))
    return importlib.import_module("http_stubs")


class Echo:
    """Handler of our server."""

    def echo(self, user: Any) -> Any:
        return user

    def add(self, user: Any) -> Any:
        return user


class AsyncEcho:
    """The same with coroutines."""

    async def echo(self, user: Any) -> Any:
        return user

    async def add(self, user: Any) -> Any:
        return user


def serve_ours(folder: Path) -> int:
    from idlrt import Server

    return Server(stubs(folder).users(Echo())).start().port


def serve_ours_async(folder: Path) -> int:
    from idlrt import Server

    return Server(stubs(folder).users(AsyncEcho())).start().port


def serve_ours_asyncio(folder: Path) -> int:
    from idlrt import AsyncServer

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def start() -> int:
        return (await AsyncServer(stubs(folder).users(AsyncEcho())).start()).port

    return asyncio.run_coroutine_threadsafe(start(), loop).result()


# The applications of other libraries, which are looked up by their names here.


def fastapi_app() -> Any:
    from fastapi import FastAPI
    from pydantic import BaseModel

    class User(BaseModel):
        id: int
        name: str
        email: str
        is_active: bool
        score: float
        tags: list[str]

    app = FastAPI()

    async def echo(user: Any) -> Any:
        return user

    # Annotations here are text, which FastAPI cannot resolve within a function.
    echo.__annotations__ = {"user": User, "return": User}
    app.post("/echo")(echo)
    return app


def starlette_app() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def echo(request: Any) -> Any:
        return JSONResponse(await request.json())

    return Starlette(routes=[Route("/echo", echo, methods=["POST"])])


def connect_app() -> Any:
    """Return a Connect service with google's messages, whose classes are made of a descriptor."""
    from connectrpc import compat  # type: ignore[import-untyped, unused-ignore]
    from connectrpc.method import (  # type: ignore[import-untyped, unused-ignore]
        IdempotencyLevel,
        MethodInfo,
        StreamType,
    )
    from connectrpc.server import (  # type: ignore[import-untyped, unused-ignore]
        ConnectASGIApplication,
        Endpoint,
    )
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto3")
    message = file.message_type.add(name="User")
    proto = descriptor_pb2.FieldDescriptorProto
    fields: tuple[tuple[str, Any, Any], ...] = (
        ("id", proto.TYPE_INT32, proto.LABEL_OPTIONAL),
        ("name", proto.TYPE_STRING, proto.LABEL_OPTIONAL),
        ("email", proto.TYPE_STRING, proto.LABEL_OPTIONAL),
        ("is_active", proto.TYPE_BOOL, proto.LABEL_OPTIONAL),
        ("score", proto.TYPE_DOUBLE, proto.LABEL_OPTIONAL),
        ("tags", proto.TYPE_STRING, proto.LABEL_REPEATED),
    )
    for number, (name, kind, label) in enumerate(fields, 1):
        message.field.add(name=name, number=number, type=kind, label=label, json_name=name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    user: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.User"))

    class Users:
        async def echo(self, request: Any, context: Any) -> Any:
            return request

    class App(ConnectASGIApplication):  # type: ignore[misc, unused-ignore]
        path = "/echo"

    info = MethodInfo(
        name="echo",
        service_name="bench.Users",
        input=user,
        output=user,
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=StreamType.UNARY,
    )
    return App(
        service=Users(),
        endpoints=lambda service: {"/echo": Endpoint.unary(method=info, function=service.echo)},
        codecs=[compat.google_protobuf_json_codec()],
    )


def _uvicorn(app: Callable[[], Any]) -> Callable[[Path], int]:
    def serve(folder: Path) -> int:
        import uvicorn

        config = uvicorn.Config(app(), host="127.0.0.1", port=0, log_level="error", access_log=False)
        server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        threading.Thread(target=server.run, args=([listening],), daemon=True).start()
        KEPT.append(server)
        port: int = listening.getsockname()[1]
        return port

    return serve


def serve_granian(folder: Path) -> int:
    """Return the port of a server with one worker process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port), "--workers", "1"]
    command += ["--no-access-log", "--log-level", "error", "--factory", "benchmarks.http_server:starlette_app"]
    KEPT.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if KEPT[-1].poll() is not None:
                raise SystemExit("granian did not start") from None
            threading.Event().wait(0.05)
        else:
            return port


def serve_aiohttp(folder: Path) -> int:
    from aiohttp import web

    async def echo(request: Any) -> Any:
        return web.json_response(await request.json())

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def start() -> int:
        app = web.Application()
        app.router.add_post("/echo", echo)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        KEPT.append(runner)
        port: int = runner.addresses[0][1]
        return port

    return asyncio.run_coroutine_threadsafe(start(), loop).result()


KINDS: Final[dict[str, Callable[[Path], int]]] = {
    "idlrt": serve_ours,
    "idlrt async": serve_ours_async,
    "idlrt asyncio": serve_ours_asyncio,
    "fastapi uvicorn": _uvicorn(fastapi_app),
    "starlette granian": serve_granian,
    "aiohttp": serve_aiohttp,
    "connectrpc uvicorn": _uvicorn(connect_app),
}


def cpu_seconds() -> float:
    """Return the CPU time of this process and its descendants, in seconds; that of descendants in ticks of 10 ms."""
    import time

    return time.process_time() + sum(_of_process(pid) for pid in _descendants(os.getpid()))


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


def _of_process(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def main(kind: str, folder: str) -> None:
    """Serve until the end of the input."""
    port = KINDS[kind](Path(folder))
    print(port, flush=True)
    for _ in sys.stdin:
        print(cpu_seconds(), flush=True)
    for each in KEPT:
        if isinstance(each, subprocess.Popen):
            each.terminate()
            each.wait(10)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
