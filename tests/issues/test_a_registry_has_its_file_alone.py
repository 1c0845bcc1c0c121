"""The embedded registry locks its file when it opens it, and the file is readable by its owner only. A registry that
others on the network may change says so when it starts.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest
from eventually import TIMEOUT
from registry_process import registry_process

from idlrt.core import Instance
from idlrt.embedded import Access, RegistryServer, Rule
from idlrt.errors import ConfigurationError
from idlrt.registry import Registry

TAKEN = r"cannot use .*another\.db.* for a registry: .*another registry is using it"
posix = pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A file that a registry has used before, so that opening it writes nothing."""
    path = tmp_path / "another.db"
    with RegistryServer(data=path) as server, Registry.connect(server.url, cache=False, timeout=TIMEOUT) as registry:
        registry.register(Instance(service="Users", host="127.0.0.1", port=1)).wait()
    return path


def test_a_second_registry_on_a_file_that_was_used_before_refuses_to_start(used: Path) -> None:
    with RegistryServer(data=used), pytest.raises(ConfigurationError, match=TAKEN):
        RegistryServer(data=used).start()
    with RegistryServer(data=used):
        pass  # free again


@posix
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_second_registry_by_another_name_of_the_file_refuses_to_start(used: Path, link: str) -> None:
    name = used.parent / "linked" / "another.db"
    name.parent.mkdir()
    getattr(name, link)(used)
    with RegistryServer(data=used), pytest.raises(ConfigurationError, match=TAKEN):
        RegistryServer(data=name).start()


@pytest.mark.slow
def test_a_second_process_on_the_file_refuses_to_start_even_after_a_first_one_was_refused(used: Path) -> None:
    """A refused attempt in the process of the first registry must not give up its lock."""
    with registry_process(used) as process:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=TAKEN):
                RegistryServer(data=used).start()
        process.kill()
        # What was killed holds nothing.
        with RegistryServer(data=used):
            with pytest.raises(ConfigurationError, match=TAKEN):
                RegistryServer(data=used).start()
            with pytest.raises(AssertionError):
                process.start()


@posix
def test_the_file_and_new_folders_are_the_owners_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = tmp_path / "var" / "registry" / "registry.db"
    before = os.umask(0)
    try:
        with (
            RegistryServer(data=data) as server,
            Registry.connect(server.url, cache=False, timeout=TIMEOUT) as registry,
        ):
            registry.register(Instance(service="Users", host="127.0.0.1", port=1)).wait()
            assert {permissions(each) for each in data.parent.iterdir()} == {0o600}
    finally:
        os.umask(before)
    assert (permissions(data.parent), permissions(data.parent.parent)) == (0o700, 0o700)
    assert messages(caplog) == []


@posix
def test_a_file_that_others_may_read_is_restricted(used: Path, caplog: pytest.LogCaptureFixture) -> None:
    left = used.with_name("another.db-wal")
    left.touch()  # a registry that was killed leaves it
    used.chmod(0o644)
    left.chmod(0o666)
    with RegistryServer(data=used):
        assert permissions(used) == permissions(left) == 0o600
    assert [each.partition(" to its owner")[0] for each in messages(caplog)] == [
        f"restricting {used}",
        f"restricting {left}",
    ]


@posix
def test_a_folder_in_which_anybody_may_replace_the_file_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with RegistryServer(data=folder / "registry.db"):
        assert permissions(folder) == 0o777, "it may be there for others, too"
    (warning,) = messages(caplog)
    assert "mode 0777: any user may replace" in warning
    caplog.clear()
    folder.chmod(0o1777)  # as /tmp: only owners replace their files
    with RegistryServer(data=folder / "registry.db"):
        assert messages(caplog) == []


@pytest.mark.parametrize(
    ("address", "access", "roles"),
    [
        ("0.0.0.0:0", None, "register and administer"),
        (":0", None, "register and administer"),
        ("0.0.0.0:0", Access(administer=Rule(tokens=("secret",))), "may register;"),
        ("0.0.0.0:0", Access(register=Rule(networks=("10.0.0.0/8",)), administer=Rule(tokens=("secret",))), ""),
        ("127.0.0.1:0", None, ""),
        ("localhost:0", None, ""),
    ],
)
def test_a_registry_that_every_host_may_change_warns_at_start(
    address: str, access: Access | None, roles: str, caplog: pytest.LogCaptureFixture
) -> None:
    with RegistryServer(address, access=access):
        pass
    warnings = [each for each in messages(caplog) if "without an access list" in each]
    assert len(warnings) == bool(roles)
    assert all(roles in each and "--access FILE" in each for each in warnings)
