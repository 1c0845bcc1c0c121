"""A file of the embedded registry that is damaged ends in one line that says where and what to do; `--recover` serves
what can be read of it, read-only, and says what cannot.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shlex
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from command_line import run_idlrt
from eventually import TIMEOUT, eventually

from idlrt.core import Instance
from idlrt.embedded import Limits, RegistryServer
from idlrt.errors import ConfigurationError, RegistryRefused
from idlrt.registry import Registry

Change = Callable[[sqlite3.Connection], object]
COUNT = 200
SERVE = (sys.executable, "-m", "idlrt", "registry", "serve", "--address", "127.0.0.1:0")
RECOVER = "start with --recover to serve its readable data read-only"


def connect(url: str) -> Registry:
    return Registry.connect(f"{url}?timeout=60", cache=False, timeout=TIMEOUT)


def instance(number: int) -> Instance:
    return Instance(service="Users", host="10.0.0.1", port=9090, id=f"i{number:03}", metadata={"x": "y" * 200})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with instances, patches and settings, of a registry that was killed."""
    path = tmp_path_factory.mktemp("registry") / "registry.db"
    with RegistryServer(data=path) as server, connect(server.url) as owner:
        for each in [owner.register(instance(number)) for number in range(COUNT)]:
            each.wait()
        owner.modify("Users", "i007", weight=7)
        owner.configure("Users", {"timeout": "0.5"})
        owner.configure("Orders", {"timeout": "0.7"})
        server.stop()
    return path


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "registry.db"
    shutil.copyfile(whole, copy)
    return copy


def change(data: Path, work: Change | str) -> None:
    with contextlib.closing(sqlite3.connect(data, isolation_level=None)) as database:
        if callable(work):
            work(database)
        else:
            database.executescript(work)


def refusal(data: Path, *options: str) -> str:
    """The one line with which the registry does not start."""
    done = subprocess.run(
        [*SERVE, "--data", str(data), *options],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    # What is said before, as of permissions, is logged.
    *_, last = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert last.startswith("idlrt: cannot "), done.stderr
    return last


class Recovering:
    """`idlrt registry serve --recover` as a process."""

    def __init__(self, data: Path) -> None:
        self._process = subprocess.Popen(
            [*SERVE, "--data", str(data), "--recover"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        assert first.startswith("the registry is at "), first + self.end()
        self.url = first.split()[-1]

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.put(line)

    def end(self) -> str:
        """End it, and return what it has logged."""
        self._process.terminate()
        self._process.wait(TIMEOUT)
        self._reader.join()
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._process.stdout.close()
        self._process.stderr.close()
        return "".join(self.lines.get() for _ in range(self.lines.qsize()))


@contextlib.contextmanager
def recovering(data: Path) -> Iterator[Recovering]:
    running = Recovering(data)
    try:
        yield running
    finally:
        running.end()


# What was done to the file, and what is said of it.
DAMAGES: dict[str, tuple[str, str]] = {
    "bytes that are no record": (
        "UPDATE record SET data = x'0c00ff' WHERE id = 'i003'",
        "table record, row 'default', 'Users', 'i003': cannot read",
    ),
    "a record of another name": (
        "UPDATE record SET data = (SELECT data FROM record WHERE id = 'i004') WHERE id = 'i003'",
        (
            "table record, row 'default', 'Users', 'i003': the data describes another instance "
            "(group 'default', service 'Users', id 'i004')"
        ),
    ),
    "text for bytes": (
        "UPDATE record SET data = 'text' WHERE id = 'i003'",
        "table record, row 'default', 'Users', 'i003': data must be bytes, got text",
    ),
    "text that is none": (
        "UPDATE record SET id = CAST(x'ff1b0a' AS TEXT) WHERE id = 'i003'",
        r"table record, row 'default', 'Users', b'\xff\x1b\n': id must be text, got bytes",
    ),
    "a number for text": (
        "UPDATE record SET grp = x'00' WHERE id = 'i003'",
        r"table record, row b'\x00', 'Users', 'i003': grp must be text, got bytes",
    ),
    "a session that is no number": (
        "UPDATE record SET session = 'mine' WHERE id = 'i003'",
        "table record, row 'default', 'Users', 'i003': session must be an integer, got text",
    ),
    "a name that cannot be one": (
        "UPDATE service SET name = '../x' WHERE name = 'Orders'",
        "table service, row 'default', '../x': invalid service of an instance: ",
    ),
    "settings that are not JSON": (
        "UPDATE service SET settings = x'7b' WHERE name = 'Orders'",
        "table service, row 'default', 'Orders': Input data was truncated",
    ),
    "settings that are not text by name": (
        "UPDATE service SET settings = CAST('{\"a\": 1}' AS BLOB) WHERE name = 'Orders'",
        "table service, row 'default', 'Orders': Expected `str`, got `int`",
    ),
    "a revision that is no number": (
        "UPDATE service SET revision = 'new' WHERE name = 'Orders'",
        "table service, row 'default', 'Orders': revision must be an integer, got text",
    ),
    "a negative revision": (
        "UPDATE service SET revision = -7 WHERE name = 'Orders'",
        "table service, row 'default', 'Orders': revision must not be negative, got -7",
    ),
    "a session without a life": (
        "INSERT INTO session VALUES (7, 'x', -1.0)",
        "table session, row 7: timeout must be positive, got -1.0",
    ),
    "an endless session": (
        "INSERT INTO session VALUES (7, 'x', 9e999)",
        "table session, row 7: timeout must be positive, got inf",
    ),
    "a correction that is none": (
        "UPDATE correction SET data = x'ff'",
        "table correction, row 'default', 'Users', 'i007': cannot read",
    ),
    "an epoch that is none": ("UPDATE registry SET epoch = 'x'", "table registry, row 1: epoch must be an integer"),
    "no row in the registry's table": ("DELETE FROM registry", "table registry: no row"),
    "a missing table": ("DROP TABLE correction", "table correction: no such table: correction"),
    "no table with the format": ("DROP TABLE registry", "table registry: no such table: registry"),
    "other columns": ("ALTER TABLE record RENAME COLUMN data TO bytes", "table record: no such column: data"),
    "an earlier format": ("UPDATE registry SET format = -1", "table registry: unknown format -1"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_row_is_named_and_the_rest_is_recovered(data: Path, what: str) -> None:
    harm, words = DAMAGES[what]
    change(data, harm)
    before = data.read_bytes()
    with pytest.raises(ConfigurationError) as caught:
        RegistryServer(data=data).start()
    text = str(caught.value)
    assert f"cannot use {data} for a registry: damaged: {words}" in text
    assert f"; {RECOVER}, or move the file away to start with an empty registry" in text
    assert text.isprintable()
    with RegistryServer(data=data, recover=True) as server, connect(server.url) as reader:
        found = reader.instances("Users")
        expected = 0 if "columns" in what else COUNT - 1 if "record" in harm else COUNT
        assert len(found.instances) == expected
        assert found.settings == {"timeout": "0.5"}
    assert data.read_bytes() == before, "the file stays as it is"


@pytest.mark.slow
def test_the_command_says_it_in_one_line_and_recovers(data: Path) -> None:
    change(data, "UPDATE record SET data = x'0c00ff' WHERE id IN ('i003', 'i005')")
    change(data, "UPDATE service SET settings = x'7b' WHERE name = 'Orders'")
    assert "damaged: table service, row 'default', 'Orders'" in (line := refusal(data))
    assert f", and 2 more; {RECOVER}" in line
    before = data.read_bytes()
    with recovering(data) as running:
        with connect(running.url) as client:
            found = client.instances("Users")
            assert len(found.instances) == COUNT - 2
            assert found.instances[5].weight == 7
            for work in (
                lambda: client.configure("Users", {"a": "b"}),
                lambda: client.modify("Users", "i001", weight=1),
                lambda: client.remove("Users"),
                lambda: client.register(instance(999)).wait(),
            ):
                with pytest.raises(
                    RegistryRefused, match=r"the registry is read-only: it serves data recovered from|has \d+ inst"
                ):
                    work()
            assert len(client.subscribe("Users").wait().instances) == COUNT - 2
        logged = running.end()
    assert logged.count("skipping damaged data: table") == 3
    assert "row 'default', 'Users', 'i003'" in logged
    assert (
        f"serving {data} read-only: recovered 1 service with {COUNT - 2} instances, skipped 3 damaged parts" in logged
    )
    assert "Traceback" not in logged
    assert data.read_bytes() == before


@pytest.mark.parametrize(("pages", "least"), [(1, COUNT // 2), (15, 0)])
def test_a_file_that_was_cut_off(data: Path, pages: int, least: int) -> None:
    """Records before the cut are served, if the pages that lead to them are intact."""
    size = data.stat().st_size
    assert size > 20 * 4096
    with data.open("r+b") as file:
        file.truncate(size - pages * 4096)
    with pytest.raises(ConfigurationError, match=rf"for a registry: .*malformed.*; {RECOVER}"):
        RegistryServer(data=data).start()
    with RegistryServer(data=data, recover=True) as server, connect(server.url) as reader:
        found = reader.instances("Users")
        assert least <= len(found.instances) < COUNT
        assert found.settings == {"timeout": "0.5"}


def test_pages_in_the_middle_that_are_broken(data: Path) -> None:
    """A table is read from both of its ends."""
    with contextlib.closing(sqlite3.connect(data)) as database:
        (page,) = database.execute("PRAGMA page_size").fetchone()
    content = bytearray(data.read_bytes())
    place = content.index(b"i100") // page * page
    content[place : place + page] = b"\xff" * page
    data.write_bytes(bytes(content))
    with pytest.raises(ConfigurationError, match=r"damaged: table record: database disk image is malformed"):
        RegistryServer(data=data).start()
    with RegistryServer(data=data, recover=True) as server, connect(server.url) as reader:
        ids = {each.id for each in reader.instances("Users").instances}
    assert {"i000", f"i{COUNT - 1:03}"} <= ids
    assert COUNT * 0.8 < len(ids) < COUNT


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a database" * 1000, r"file is not a database; it is of another kind, or its header is damaged"),
        (b"SQLite format 3\0" + b"\0" * 5000, r"is not a database|malformed"),
    ],
)
def test_a_file_that_is_something_else(tmp_path: Path, content: bytes, words: str) -> None:
    data = tmp_path / "registry.db"
    data.write_bytes(content)
    with pytest.raises(ConfigurationError, match=rf"cannot use .*registry\.db for a registry: .*({words})"):
        RegistryServer(data=data).start()
    with pytest.raises(ConfigurationError, match=r"cannot recover .*registry\.db: "):
        RegistryServer(data=data, recover=True).start()
    assert data.read_bytes() == content


def test_a_database_of_another_program(tmp_path: Path) -> None:
    data = tmp_path / "music.db"
    change(data, "CREATE TABLE songs (name TEXT)")
    with pytest.raises(ConfigurationError, match=r"it is the database of another program \(table 'songs'\); choose an"):
        RegistryServer(data=data).start()
    with contextlib.closing(sqlite3.connect(data)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]


def test_a_file_of_a_later_version(data: Path) -> None:
    change(data, "UPDATE registry SET format = 2")
    assert (
        f"file format 2 is newer than the supported format 1; run the version that has written it, or {RECOVER}"
        in refusal(data)
    )
    with RegistryServer(data=data, recover=True) as server, connect(server.url) as reader:
        assert len(reader.instances("Users").instances) == COUNT


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError,
        match="unable to open database file; check that it is a regular file, and that it and its folder",
    ):
        RegistryServer(data=tmp_path).start()


def command(arguments: Sequence[str]) -> str:
    return " ".join(shlex.quote(each) for each in arguments)


def mounted(mount: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the registry in a private mount namespace."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("`unshare -rm` is not allowed here")
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{mount} && exec {command([*SERVE, *arguments])}"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no `unshare`")
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    folder, data = shlex.quote(str(tmp_path)), tmp_path / "registry.db"
    done = mounted(f"mount -t tmpfs -o size=16k none {folder}", "--data", str(data))
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines() == [
        f"idlrt: cannot use {data} for a registry: database or disk is full; free disk space, or {RECOVER}"
    ]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no `unshare`")
def test_a_file_system_that_is_read_only(data: Path) -> None:
    folder = shlex.quote(str(data.parent))
    mount = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
    done = mounted(mount, "--data", str(data))
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == f"idlrt: cannot use {data} for a registry: readonly file; make it writable, or {RECOVER}"
    done = mounted(mount, "--data", f"{data}.new")
    assert "Read-only file system; make it writable" in done.stderr
    assert "--recover" not in done.stderr, "there is nothing to recover"


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """Files may grow to 8 kB only."""
    data = tmp_path / "registry.db"
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)); from idlrt.cli import main"
    done = subprocess.run(
        [sys.executable, "-c", f"{limited}; main()", *SERVE[3:], "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"cannot use {data} for a registry: " in done.stderr.splitlines()[-1]
    assert "--recover" in done.stderr.splitlines()[-1]


def test_recovering_needs_an_existing_file_that_is_not_in_use(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot recover a registry without a file; give one with --data"):
        RegistryServer(recover=True).start()
    with pytest.raises(ConfigurationError, match=r"cannot recover .*missing\.db: no such file"):
        RegistryServer(data=tmp_path / "missing.db", recover=True).start()
    with RegistryServer(data=data), pytest.raises(ConfigurationError, match="another registry is using it"):
        RegistryServer(data=data, recover=True).start()


def test_recovered_sessions_do_not_end(data: Path) -> None:
    """Liveness is unknown after a recovery: servers cannot renew, because the registry is read-only."""
    change(data, "UPDATE session SET timeout = 0.5")
    with RegistryServer(data=data, recover=True) as server, connect(server.url) as reader:
        short = Registry.connect(f"{server.url}?timeout=0.5", cache=False, timeout=TIMEOUT)
        short.services()
        before = server.sessions
        short.close()
        eventually(lambda: server.sessions < before, "sessions of readers end")
        assert len(reader.instances("Users").instances) == COUNT


def test_instances_without_a_session_are_left_to_register_again(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(data, "DELETE FROM session")
    with RegistryServer(data=data) as server, connect(server.url) as owner:
        assert owner.instances("Users").instances == ()
        owner.register(instance(1)).wait()
        assert len(owner.instances("Users").instances) == 1
    assert f"dropping {COUNT} instances without a session" in caplog.text


def test_limits_that_were_lowered_do_not_matter_to_what_is_there(data: Path) -> None:
    limits = Limits(sessions=0, instances=1, services=1, service_instances=1, service_size=1)
    with RegistryServer(data=data, limits=limits) as server:
        assert server.instances == COUNT


def test_a_registry_goes_on_counting_after_names_were_given_back(tmp_path: Path) -> None:
    """Else a follower that was away would take the changes of a new service for those of the old one."""
    data = tmp_path / "registry.db"
    with RegistryServer(data=data) as server, connect(server.url) as owner:
        for number in range(5):
            owner.configure("Users", {"a": str(number)})
        before = owner.instances("Users").revision
        owner.remove("Users")
    with RegistryServer(data=data) as server, connect(server.url) as owner:
        owner.configure("Users", {"a": "b"})
        assert owner.instances("Users").revision > before


def test_what_was_recovered_can_be_exported(data: Path) -> None:
    change(data, "UPDATE record SET data = x'00' WHERE id = 'i003'")
    with RegistryServer(data=data, recover=True) as server:
        done = run_idlrt(["registry", "export", server.url, "--timeout", f"{TIMEOUT:g}"])
    by_name = {each["key"]["service"]: each for each in json.loads(done.stdout)}
    assert len(by_name["Users"]["instances"]) == COUNT - 1
    assert by_name["Orders"]["settings"] == {"timeout": "0.7"}
