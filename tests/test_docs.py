"""The pages in `docs` say what is so: their commands run as printed, and they name what there is to name."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from eventually import TIMEOUT
from test_readme import BLOCK, moved, places

from idlc.model.constraints import ALL_CONSTRAINTS
from idlc.model.http import FIELD_NAMES, FUNCTION_NAMES, PLACES, ROUTES, STRUCT_NAMES
from idlrt.balance import BALANCERS
from idlrt.cli import main
from idlrt.core import Freshness, ServiceKey, decisions
from idlrt.core.renamed import KEYS
from idlrt.embedded import DEFAULT_PORT
from idlrt.errors import ConfigurationError
from idlrt.fault import FAULT_MODES
from idlrt.guard import GUARDS
from idlrt.plugins import Plugins
from idlrt.protocol import Capabilities, ClientConnection, ClientEvent, ServerConnection, ServerEvent
from idlrt.protocol.detection import BUILT_IN
from idlrt.registry import REGISTRIES, RegistryUrl
from idlrt.registry.etcd.layout import Layout
from idlrt.registry.zookeeper.layouts import IdlrtLayout, patches_path, settings_path
from idlrt.route import ROUTERS

DOCS = Path(__file__).resolve().parents[1] / "docs"
REGISTRIES_PAGE = (DOCS / "registries.md").read_text(encoding="utf-8")
FILE_NAME = re.compile(r"`([a-z_/]+\.(?:idl|py|thrift|toml|py\.j2))`")


def steps(text: str) -> Iterator[tuple[str, str, str]]:
    """(language, file name in the prose before the block, text) of each block."""
    end = 0
    for match in BLOCK.finditer(text):
        names = FILE_NAME.findall(text[end : match.start()])
        yield match[1], names[-1] if names else "", match[2]
        end = match.end()


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(each.name for each in DOCS.glob("*.md")))
def test_commands_run_as_printed(page: str, tmp_path: Path) -> None:
    if page == "tutorial.md" and shutil.which("openssl") is None:
        pytest.skip("NOT RUN: the tutorial makes a certificate with openssl, which is not installed")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "IDLRT_CACHE_DIR": str(tmp_path / "cache"),
    }
    output = ""
    commands = 0
    background: list[subprocess.Popen[str]] = []
    try:
        whole = (DOCS / page).read_text(encoding="utf-8")
        for language, name, text in steps(moved(whole, places(whole))):
            if language in ("thrift", "python", "toml", "jinja"):
                (tmp_path / name).parent.mkdir(exist_ok=True)
                (tmp_path / name).write_text(text)
            elif language == "yaml":
                pass  # of other programs
            elif language == "text":
                assert output == text
                commands += 1
            elif text.rstrip().endswith(" &"):
                command = f"exec {text.rstrip().removesuffix(' &')}"
                process = subprocess.Popen(
                    command, shell=True, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
                )
                background.append(process)
                assert process.stdout is not None
                output = process.stdout.readline()
            else:
                done = subprocess.run(
                    f"set -e\n{text}",
                    shell=True,
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stderr
                output = done.stdout
    finally:
        for process in reversed(background):
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=TIMEOUT)
    assert commands, "a page shows what its commands print"


def known_options(scheme: str) -> set[str]:
    """The options that a kind of registry takes, as it says itself."""
    url = RegistryUrl.parse(f"{scheme}://127.0.0.1:1?nosuch=1")
    with pytest.raises(ConfigurationError, match=r"unknown option 'nosuch' \(known: ") as caught:
        REGISTRIES.make(scheme, url)
    known = str(caught.value).rpartition("(known: ")[2].removesuffix(")")
    return set() if known == "none" else set(known.split(", "))


def section(start: str) -> str:
    """The part of the page under a heading that begins so."""
    at = REGISTRIES_PAGE.index(f"\n{start}") + 1
    end = re.compile(r"^##", re.MULTILINE).search(REGISTRIES_PAGE, at + len(start))
    return REGISTRIES_PAGE[at : end.start() if end is not None else None]


@pytest.mark.parametrize("scheme", sorted(REGISTRIES.names()))
def test_the_page_names_just_the_options_that_there_are(scheme: str) -> None:
    part = section(f"### `{scheme}://")
    assert set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) == known_options(scheme)


def test_the_page_names_ports_and_places() -> None:
    assert f"The port is {DEFAULT_PORT} if" in section("### `embedded")
    key = ServiceKey("SERVICE", "GROUP")
    etcd, zookeeper = Layout("idlrt"), IdlrtLayout()
    part = section("## Storage layout")
    for path in (
        f"{zookeeper.folders(key)[0]}/ID",
        f"{patches_path(key)}/ID",
        settings_path(key),
        etcd.instance(key, "ID").decode(),
        etcd.patch(key, "ID").decode(),
        etcd.settings(key).decode(),
    ):
        assert f"`{path}`" in part


def test_the_page_names_all_that_freshness_may_be() -> None:
    part = section("## When the registry is down")
    assert re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) == [each.value for each in Freshness]


GOVERNANCE_PAGE = (DOCS / "governance.md").read_text(encoding="utf-8")


def test_the_page_lists_all_keys_as_the_command_does() -> None:
    start, end = "<!-- keys -->\n", "<!-- /keys -->"
    listed = GOVERNANCE_PAGE.partition(start)[2].partition(end)[0]
    done = CliRunner().invoke(main, ["config", "keys", "--markdown"])
    assert listed == done.output, "put the output of `idlrt config keys --markdown` there"


def test_the_page_lists_all_renamed_keys() -> None:
    listed = GOVERNANCE_PAGE.partition("<!-- renamed -->\n")[2].partition("<!-- /renamed -->")[0]
    assert listed == "| old name | current name |\n|---|---|\n" + "".join(
        f"| `{old}` | `{new}` |\n" for old, new in KEYS.items()
    )


@pytest.mark.parametrize("plugins", [FAULT_MODES, ROUTERS, GUARDS, BALANCERS], ids=lambda each: each.group)
def test_the_page_names_all_plugins(plugins: Plugins[Any]) -> None:
    tables = set(re.findall(r"^\| `(\w+)` \|", GOVERNANCE_PAGE, re.MULTILINE))
    prose = GOVERNANCE_PAGE.partition("## Balancers")[2].partition("## Routers")[0]
    named = set(re.findall(r"`(\w+)`", prose)) if plugins is BALANCERS else tables
    assert set(plugins.names()) <= named


def test_the_page_names_all_decisions() -> None:
    kinds = {
        each for each in decisions.__all__ if each not in ("AttemptKind", "Decision", "Listener", "Reason", "notify")
    }
    part = GOVERNANCE_PAGE.partition("## Decision events")[2].partition("## ")[0]
    assert kinds <= set(re.findall(r"`(\w+)`", part))


def test_the_page_of_protocols_names_what_there_is() -> None:
    page = (DOCS / "protocols.md").read_text(encoding="utf-8")
    part = page.partition("## Built-in protocols")[2].partition("\n## ")[0]
    assert set(BUILT_IN) <= set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))
    named = set(re.findall(r"`(\w+)`", page))
    for end in (ServerConnection, ClientConnection):
        verbs = {name for name, each in vars(end).items() if callable(each) and not name.startswith("_")}
        assert verbs <= named
    assert set(Capabilities.__struct_fields__) <= named
    events = {each.__name__ for each in (*get_args(ServerEvent), *get_args(ClientEvent))}
    assert events - {"ProtocolDetected"} <= named


def test_the_page_of_http_names_all_annotations_and_constraints() -> None:
    named = set(re.findall(r"`((?:http|api|vt)\.\w+)[ `]", (DOCS / "http.md").read_text(encoding="utf-8")))
    assert {*FUNCTION_NAMES, *FIELD_NAMES, *STRUCT_NAMES} <= named
    assert {name.replace("http.", "api.") for name in (*ROUTES, *PLACES)} <= named
    assert {f"vt.{name}" for name in ALL_CONSTRAINTS} <= named


def test_no_table_of_the_page_names_what_is_not_there() -> None:
    known = {name for each in (FAULT_MODES, ROUTERS, GUARDS) for name in each.names()}
    head = GOVERNANCE_PAGE.partition("<!-- keys -->")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", head, re.MULTILINE)) == known
