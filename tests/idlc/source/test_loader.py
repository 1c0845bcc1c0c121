from __future__ import annotations

from pathlib import Path

import pytest

from idlc.source import Loader, SourceNotFound, SourceUnreadable


def write(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.thrift", b"\xef\xbb\xbfstruct A {}")
    assert Loader().load(path).text == "struct A {}"


def test_line_ends_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "a.thrift", "struct A {\r\n}\r\n")
    assert Loader().load(path).text == "struct A {\r\n}\r\n"


def test_one_file_reached_by_two_paths_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.thrift", "")
    (tmp_path / "sub").mkdir()
    loader = Loader()
    assert loader.load(path) is loader.load(tmp_path / "sub" / ".." / "a.thrift")


def test_file_names_are_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "sub" / "a.thrift", "")
    assert Loader().load(Path("sub/a.thrift")).name == str(Path("sub/a.thrift"))


def test_includes_are_searched_beside_the_includer_then_in_folders_then_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    includer = write(tmp_path / "main" / "main.thrift", "")
    places = [tmp_path / "main", tmp_path / "one", tmp_path / "two", tmp_path / "cwd"]
    for place in places:
        write(place / "shared.thrift", place.name)
    monkeypatch.chdir(tmp_path / "cwd")
    for place in places:
        loader = Loader([tmp_path / "one", tmp_path / "two"])
        assert loader.include("shared.thrift", loader.load(includer)).text == place.name
        (place / "shared.thrift").unlink()


def test_both_suffixes_and_absolute_paths_can_be_included(tmp_path: Path) -> None:
    includer = write(tmp_path / "main.idl", "")
    other = write(tmp_path / "elsewhere" / "other.idl", "other")
    loader = Loader()
    main = loader.load(includer)
    assert loader.include("elsewhere/other.idl", main).text == "other"
    assert loader.include(str(other), main).text == "other"


def test_a_missing_include_names_the_folders_that_were_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "main" / "main.thrift", "")
    loader = Loader([Path("one"), Path("one")])
    with pytest.raises(SourceNotFound) as caught:
        loader.include("nowhere.thrift", loader.load(Path("main/main.thrift")))
    assert caught.value.searched == ("main", "one", ".")


def test_missing_paths_are_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "main.thrift", "")
    write(tmp_path / "two" / "shared.thrift", "")
    loader = Loader([tmp_path / "one", tmp_path / "two"])
    loader.include("shared.thrift", loader.load(Path("main.thrift")))
    assert loader.absent == {tmp_path / "shared.thrift", tmp_path / "one" / "shared.thrift"}
    assert set(loader.files) == {tmp_path / "main.thrift", tmp_path / "two" / "shared.thrift"}


def test_an_overlay_replaces_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.thrift", "on disk")
    loader = Loader(overlay={path: "in memory", tmp_path / "b.thrift": "only in memory"})
    assert loader.load(path).text == "in memory"
    assert loader.include("b.thrift", loader.load(path)).text == "only in memory"


@pytest.mark.parametrize("name", [".", "/", "a/" * 2000, "x.txt", "x.thrift/"])
def test_files_without_the_suffix_of_an_idl_file_are_not_included(name: str, tmp_path: Path) -> None:
    loader = Loader(overlay={tmp_path / "a.thrift": "", tmp_path / "x.txt": "never read"})
    with pytest.raises(SourceUnreadable, match=r"must end in `\.thrift` or `\.idl`"):
        loader.include(name, loader.load(tmp_path / "a.thrift"))


@pytest.mark.parametrize("name", ["", "\0", ".thrift", "x" * 5000 + ".thrift", "a/" * 2000 + "b.idl", "\ud800.idl"])
def test_strange_include_paths_are_not_found(name: str, tmp_path: Path) -> None:
    loader = Loader(overlay={tmp_path / "a.thrift": ""})
    with pytest.raises(SourceNotFound):
        loader.include(name, loader.load(tmp_path / "a.thrift"))


def test_bytes_that_are_not_utf8_have_a_span(tmp_path: Path) -> None:
    path = write(tmp_path / "a.thrift", "struct A {} // é ".encode() + b"\xe9\n")
    with pytest.raises(SourceUnreadable, match="byte 0xe9 is not UTF-8") as caught:
        Loader().load(path)
    assert caught.value.span is not None
    assert caught.value.span.position.column == 18


def test_utf16_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.thrift", "struct A {}".encode("utf-16"))
    with pytest.raises(SourceUnreadable, match="UTF-16"):
        Loader().load(path)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        Loader().load(tmp_path)
