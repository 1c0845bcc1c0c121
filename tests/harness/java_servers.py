"""Real servers on Java: downloaded from Maven Central once, and run on loopback until the test ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cached_parts import cached_part
from eventually import TIMEOUT, eventually
from free_ports import free_port, free_ports
from programs import not_run, require_program

__all__ = ["LEASH", "ask_graphql", "ask_json", "cached_jars", "running_skywalking", "running_zipkin"]

_START_S: Final = 120.0
_DOWNLOAD_S: Final = 900
_PLUGIN: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.11.0"
_ZIPKIN: Final = "io.zipkin:zipkin-server:3.5.1:jar:exec"
_SKYWALKING: Final = Path(__file__).parents[1] / "interop" / "skywalking"
LEASH: Final = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
"""Begin of a command: the server ends with the tests even when they are killed."""


def _cached(name: str, arguments: Sequence[str]) -> Path:
    """Return the folder of files that Maven provides.

    Args:
        name: name of the folder in the cache.
        arguments: arguments for Maven, without the option for the folder.
    """

    def build(folder: Path) -> None:
        command = [require_program("mvn", "maven"), "-B", "-ntp", "-q", *arguments, f"-DoutputDirectory={folder}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_S, check=False)
        if done.returncode:
            not_run(f"NOT RUN: cannot download {name}: {(done.stdout + done.stderr).strip()[-200:]}")

    return cached_part(name, build)


def cached_jars(name: str, project: Path) -> Path:
    """Return the folder of the libraries that a Maven project depends on.

    Args:
        name: name of the folder in the cache.
        project: its `pom.xml`.
    """
    return _cached(name, ["-f", str(project), f"{_PLUGIN}:copy-dependencies", "-DincludeScope=runtime"])


def ask_json(url: str, body: object = None) -> Any:
    """Return the JSON at a URL; `None` for status 404. With a body it is a POST request."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise AssertionError(f"{url}: {error.read().decode()}") from None


def ask_graphql(url: str, query: str, **variables: object) -> Any:
    """Return the data of a GraphQL query."""
    answer = ask_json(f"{url}/graphql", {"query": query, "variables": variables})
    assert not answer.get("errors"), answer
    return answer["data"]


@contextmanager
def _running(
    command: Sequence[str],
    log: Path,
    probe: str,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[None]:
    environment = {**os.environ, **(variables or {})}
    with (
        log.open("w") as output,
        subprocess.Popen([*LEASH, *command], cwd=folder, env=environment, stdout=output, stderr=output) as process,
    ):

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()[-2000:]
            try:
                with urllib.request.urlopen(probe, timeout=TIMEOUT) as response:
                    return bool(response.status == 200)
            except urllib.error.HTTPError as error:
                return error.code == 405
            except OSError:
                return False

        try:
            eventually(is_ready, f"{probe} answers", timeout=_START_S)
            yield
        finally:
            process.kill()
            process.wait(TIMEOUT)


@contextmanager
def running_zipkin(folder: Path, port: int = 0) -> Iterator[str]:
    """Run Zipkin; yields its URL.

    Args:
        folder: folder for its log.
        port: its port; 0 for a free one.
    """
    java = require_program("java", "default-jre-headless")
    jars = _cached("zipkin-3.5.1", [f"{_PLUGIN}:copy", f"-Dartifact={_ZIPKIN}"])
    port = port or free_port()
    command = [java, "-Xmx300m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", str(next(jars.glob("*.jar")))]
    # With `server.port` alone it would listen on all interfaces.
    command += [f"--armeria.ports[0].port={port}", "--armeria.ports[0].ip=127.0.0.1"]
    command += ["--armeria.ports[0].protocols[0]=http"]
    url = f"http://127.0.0.1:{port}"
    with _running(command, folder / "zipkin.log", f"{url}/health"):
        yield url


@contextmanager
def running_skywalking(folder: Path) -> Iterator[str]:
    """Run SkyWalking's OAP with a database in memory; yields its URL.

    Args:
        folder: folder for its log.
    """
    java = require_program("java", "default-jre-headless")
    jars = cached_jars("skywalking-10.1.0", _SKYWALKING / "pom.xml")
    rest, grpc = free_ports(2)
    command = [java, "-Xmx700m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    command += ["-cp", f"config:{jars}/*", "org.apache.skywalking.oap.server.starter.OAPServerStartUp"]
    variables = {"OAP_REST_PORT": str(rest), "OAP_GRPC_PORT": str(grpc)}
    url = f"http://127.0.0.1:{rest}"
    with _running(command, folder / "skywalking.log", f"{url}/healthcheck", _SKYWALKING, variables):
        yield url
