"""The quick start of the README works as printed, on ports that are free here."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from eventually import TIMEOUT, eventually
from free_ports import free_ports

# More than a moment.
pytestmark = pytest.mark.slow

README = Path(__file__).resolve().parents[1] / "README.md"

# A named file, or a command, as the README has them: prose, then a fenced block.
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"`([a-z_]+\.(?:idl|py))`")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")
ADDRESS = re.compile(r"127\.0\.0\.1:[0-9]+")


def places(text: str) -> dict[str, str]:
    """An address that is free here for each one in `text`."""
    found = sorted(set(ADDRESS.findall(text)))
    return {address: f"127.0.0.1:{port}" for address, port in zip(found, sorted(free_ports(len(found))), strict=True)}


def moved(text: str, places: dict[str, str]) -> str:
    """The text with other addresses."""
    return ADDRESS.sub(lambda match: places[match[0]], text)


def _quick_start() -> str:
    text = README.read_text()
    start = text.index("## Quick start")
    return text[start : text.index("\n## ", start + 1)]


def _steps(text: str) -> list[tuple[str, str, str]]:
    """(language, file name in the prose before the block, text) of each block of the quick start."""
    steps: list[tuple[str, str, str]] = []
    end = 0
    for match in BLOCK.finditer(text):
        names = FILE_NAME.findall(text[end : match.start()])
        steps.append((match[1], names[-1] if names else "", match[2]))
        end = match.end()
    return steps


def _is_listening(server: subprocess.Popen[bytes], address: str) -> bool:
    """The printed server says nothing when it is ready, so it is asked until it takes a connection."""
    assert server.poll() is None, "the server ended"
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=TIMEOUT).close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_quick_start_runs_as_printed(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "IDLC_CACHE_DIR": str(tmp_path / "cache"),
        "IDLRT_CACHE_DIR": str(tmp_path / "snapshots"),
    }
    printed = _quick_start()
    free = places(printed)
    output = ""
    # What goes on in the background, and where it listens.
    background = {"python server.py": free["127.0.0.1:9090"]}
    running: list[subprocess.Popen[bytes]] = []
    compared = 0
    try:
        for language, name, text in _steps(moved(printed, free)):
            command = text.strip()
            if language in ("thrift", "python"):
                (tmp_path / name).write_text(text)
            elif language == "text":
                assert output == text
                compared += 1
            elif command in background:
                address = background.pop(command)
                process = subprocess.Popen(shlex.split(command), cwd=tmp_path, env=environment)
                running.append(process)
                eventually(partial(_is_listening, process, address))
            else:
                done = subprocess.run(
                    text, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stderr
                output = done.stdout
    finally:
        for each in reversed(running):
            each.terminate()
            each.wait(timeout=TIMEOUT)
    assert not background
    assert [each.returncode for each in running] == [0]
    assert compared == 1


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 200
    for page in [README, *sorted((README.parent / "docs").glob("*.md"))]:
        for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            found = (page.parent / target) if target else page
            assert found.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor in _anchors(found.read_text(encoding="utf-8")), f"{page.name}: {target}#{anchor}"


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
