"""Replacement of several files: all of them, or none."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from idlc.transaction import Transaction, recover


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): "folder" if path.is_dir() else path.read_text()
        for path in sorted(folder.rglob("*"))
    }


def test_files_are_replaced_and_removed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "gone/deep").mkdir(parents=True)
    (tmp_path / "gone/deep/b").write_text("old")
    with Transaction(tmp_path) as transaction:
        transaction.replace(PurePosixPath("a"), b"new")
        transaction.replace(PurePosixPath("c/d"), b"new")
        transaction.remove(PurePosixPath("gone/deep/b"))
        transaction.remove(PurePosixPath("never/there"))
        assert files(tmp_path)["a"] == "old"
        transaction.commit()
    assert files(tmp_path) == {"a": "new", "c": "folder", "c/d": "new"}


def test_folders_with_other_files_stay_and_caches_of_python_go(tmp_path: Path) -> None:
    for name in ("mine/a", "mine/note", "theirs/__pycache__/a.pyc", "theirs/a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    with Transaction(tmp_path) as transaction:
        transaction.remove(PurePosixPath("mine/a"))
        transaction.remove(PurePosixPath("theirs/a"))
        transaction.commit()
    assert files(tmp_path) == {"mine": "folder", "mine/note": "old"}


def test_without_a_commit_nothing_changes(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with Transaction(folder) as transaction:
        transaction.replace(PurePosixPath("a/b"), b"new")
    assert not folder.exists()


def test_files_are_restored_if_one_cannot_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "taken").mkdir()
    (tmp_path / "c").write_text("old")
    (tmp_path / "gone").write_text("old")
    before = files(tmp_path)
    with Transaction(tmp_path) as transaction:
        for name in ("a", "fresh/b", "taken", "c"):
            transaction.replace(PurePosixPath(name), b"new")
        transaction.remove(PurePosixPath("gone"))
        with pytest.raises(IsADirectoryError):
            transaction.commit()
    assert files(tmp_path) == before


# Files of the process may have 1,000 bytes, as on a disk that is full then.
FULL = """
import sys
from pathlib import Path, PurePosixPath
from idlc.transaction import Transaction

with Transaction(Path(sys.argv[1])) as transaction:
    transaction.replace(PurePosixPath("small"), b"new")
    transaction.replace(PurePosixPath("deep/large"), b"x" * 2000)
    transaction.commit()
"""


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "small").write_text("old")

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL, str(tmp_path)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "OSError: [Errno 27] File too large" in done.stderr
    assert files(tmp_path) == {"small": "old"}


def test_what_a_killed_process_left_before_its_commit_is_removed(tmp_path: Path) -> None:
    stage = tmp_path / ".idlc-0123.stage"
    stage.mkdir()
    (stage / "new0").write_text("new")
    recover(tmp_path)
    assert files(tmp_path) == {}
    (tmp_path / ".idlc-notes").mkdir()
    recover(tmp_path)
    assert files(tmp_path) == {".idlc-notes": "folder"}


RECOVER = "import sys; from pathlib import Path; from idlc.transaction import recover; recover(Path(sys.argv[1]))"


def test_a_transaction_that_is_pending_is_not_disturbed(tmp_path: Path) -> None:
    with Transaction(tmp_path) as transaction:
        transaction.replace(PurePosixPath("a"), b"new")
        subprocess.run([sys.executable, "-c", RECOVER, str(tmp_path)], check=True)
        transaction.commit()
    assert files(tmp_path) == {"a": "new"}


@pytest.mark.parametrize("name", ["../precious", "{folder}/precious", "link/precious"])
def test_plans_do_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").write_text("mine")
    folder = tmp_path / "out"
    stage = folder / ".idlc-0123.stage"
    stage.mkdir(parents=True)
    (folder / "link").symlink_to("..")
    named = name.format(folder=tmp_path)
    (stage / "plan.json").write_text(f'{{"replaced": ["{named}"], "removed": ["{named}"]}}')
    (stage / "new0").write_text("new")
    recover(folder)
    assert (tmp_path / "precious").read_text() == "mine"
    assert not stage.exists()
    with Transaction(folder) as transaction, pytest.raises(ValueError, match="is not below the output folder"):
        transaction.replace(PurePosixPath("../precious"), b"new")


def test_a_file_that_is_written_after_its_removal_stays(tmp_path: Path) -> None:
    stage = tmp_path / ".idlc-0123.stage"
    stage.mkdir()
    (stage / "plan.json").write_text('{"replaced": [], "removed": ["a", "b"]}')
    (stage / "gone0").write_text("old")
    (tmp_path / "a").write_text("later")
    (tmp_path / "b").write_text("old")
    recover(tmp_path)
    assert files(tmp_path) == {"a": "later"}


def test_several_folders_are_changed_or_none(tmp_path: Path) -> None:
    (tmp_path / "b/taken").mkdir(parents=True)
    with Transaction(tmp_path / "a") as first, Transaction(tmp_path / "b") as second:
        first.replace(PurePosixPath("x"), b"new")
        second.replace(PurePosixPath("taken"), b"new")
        with pytest.raises(IsADirectoryError):
            first.commit(second)
    assert files(tmp_path) == {"b": "folder", "b/taken": "folder"}
