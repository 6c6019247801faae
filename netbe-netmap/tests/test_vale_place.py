# SPDX-License-Identifier: BSD-2-Clause
"""Where embedded switches are: a folder that is chosen, its path, what becomes of what could not be used."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from vales import EVERYBODY, attach, frame, fresh_folder, left_in, take

import netbe
from netbe_netmap.embedded import FOLDER_BYTES, home, members, switches

ONE = frame(EVERYBODY, 1)


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with fresh_folder(monkeypatch) as path:
        yield path


def choose(monkeypatch: pytest.MonkeyPatch, place: object) -> None:
    monkeypatch.setenv("NETBE_VALE_FOLDER", str(place))


def long_place(folder: Path, length: int) -> Path:
    """One whose switch `vale0` has a path of so many bytes; the last letter takes two."""
    name = "x" * (length - len(os.fsencode(folder)) - len("/\N{LATIN SMALL LETTER E WITH ACUTE}/vale0") - 1)
    return folder / f"{name}\N{LATIN SMALL LETTER E WITH ACUTE}"


def test_a_path_as_long_as_may_be_carries_frames_and_wakes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = long_place(folder, FOLDER_BYTES)
    assert len(os.fsencode(place / "vale0")) == FOLDER_BYTES
    choose(monkeypatch, place)
    with attach("a") as a, attach("b") as b:
        a.send(ONE)
        assert take(b) == ONE
    place.rmdir()


def test_a_longer_one_is_refused_with_advice_and_nothing_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, long_place(folder, FOLDER_BYTES + 1))
    with pytest.raises(netbe.NameTooLongError, match="has 90 bytes, and at most 89 will do") as caught:
        attach("a")
    assert "NETBE_VALE_FOLDER" in (caught.value.hint or "")
    assert left_in(folder) == []


def test_any_name_fits_into_the_folder_that_is_used_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETBE_VALE_FOLDER")
    monkeypatch.setattr(os, "geteuid", lambda: (1 << 32) - 2)
    assert len(os.fsencode(home())) + len("/") + 63 <= FOLDER_BYTES


def test_a_relative_path_is_refused_wherever_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, "lab")
    for use in (lambda: attach("a"), switches, lambda: list(members("vale0"))):
        with pytest.raises(netbe.OptionError, match="NETBE_VALE_FOLDER='lab' is no absolute path"):
            use()


def test_of_the_path_only_the_last_folder_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, folder / "one")
    with attach("a"):
        pass
    (folder / "one").rmdir()
    choose(monkeypatch, folder / "one" / "two")
    with pytest.raises(netbe.NetbeError, match=f"{folder / 'one'} is not there") as caught:
        attach("a")
    assert caught.value.errno == errno.ENOENT
    assert caught.value.hint
    assert left_in(folder) == []


def test_what_a_failed_attempt_has_made_is_taken_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, folder / "one")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "chmod", lambda path, mode: path.joinpath("control").mkdir())
        with pytest.raises(netbe.NetbeError):
            attach("a")
    assert left_in(folder) == ["one", "one/vale0", "one/vale0/control"]  # nobody's but another's
    (folder / "one" / "vale0" / "control").rmdir()
    (folder / "one" / "vale0").rmdir()
    (folder / "one").rmdir()
    with monkeypatch.context() as patched:

        def fail(path: Path, mode: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        patched.setattr(Path, "chmod", fail)
        with pytest.raises(netbe.NetbeError, match="cannot be made"):
            attach("a")
    assert left_in(folder) == []


def test_what_was_there_before_a_failed_attempt_stays(folder: Path) -> None:
    (folder / "vale0").mkdir()
    (folder / "vale0" / "control").mkdir()
    with pytest.raises(netbe.NetbeError):
        attach("a")
    assert left_in(folder) == ["vale0", "vale0/control"]
    (folder / "vale0" / "control").rmdir()
    (folder / "vale0").rmdir()


def test_members_are_listed_with_the_user_that_owns_their_memory(folder: Path) -> None:
    with attach("a"), attach("b"):
        (memory,) = (folder / "vale0").glob("r1.*")
        if os.geteuid() == 0:
            os.chown(memory, 1234, -1)
        assert [one.uid for one in members("vale0")] == [os.geteuid(), memory.stat().st_uid]
        memory.unlink()
        assert [one.uid for one in members("vale0")] == [os.geteuid(), None]
