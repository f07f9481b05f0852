"""Files are written wholly or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from isonomy.artefact import atomic_path, write_bytes_atomic, write_text_atomic
from isonomy.errors import OutputError


def test_text_is_utf_8_and_line_ends_stay(tmp_path):
    path = tmp_path / "a.txt"
    assert write_text_atomic(path, "é\n\r\n") == path
    assert path.read_bytes() == "é\n\r\n".encode()
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_missing_folders_are_created(tmp_path):
    write_bytes_atomic(tmp_path / "a" / "b" / "c.bin", b"x")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"x"


def test_the_temporary_name_keeps_the_ending_and_the_folder(tmp_path):
    with atomic_path(tmp_path / "table.csv.gz") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith("table.csv.gz")
        assert not (tmp_path / "table.csv.gz").exists()


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_interrupted_block_leaves_no_file_and_no_new_folder(tmp_path, interruption):
    with (
        pytest.raises(interruption),
        atomic_path(tmp_path / "new" / "deep" / "a.txt") as temporary,
    ):
        temporary.write_text("half")
        raise interruption
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_block_keeps_the_old_file(tmp_path):
    path = write_text_atomic(tmp_path / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(OutputError, match="could not be: No space left on device"),
        atomic_path(tmp_path / "a.txt") as temporary,
    ):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be_is_an_output_error(tmp_path):
    write_text_atomic(tmp_path / "a", "x")
    with pytest.raises(OutputError, match=r"must be a place that can be written"):
        write_text_atomic(tmp_path / "a" / "b", "x")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"is a folder\. Add a file name"):
        write_text_atomic(tmp_path, "x")


def test_a_device_is_refused_and_stays_a_device():
    with pytest.raises(OutputError, match="device or a pipe"):
        write_text_atomic(os.devnull, "x")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_an_output_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write_text_atomic(tmp_path / "a", "x")


def test_a_link_is_followed(tmp_path):
    real = write_text_atomic(tmp_path / "real.txt", "old")
    link = tmp_path / "link.txt"
    link.symlink_to(real)
    write_text_atomic(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_permissions_follow_the_umask_or_the_old_file(tmp_path):
    old_umask = os.umask(0o027)
    try:
        path = write_text_atomic(tmp_path / "a.txt", "x")
    finally:
        os.umask(old_umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    write_text_atomic(path, "y")
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
