# SPDX-License-Identifier: BSD-2-Clause
"""The scan of installed metadata: what it finds, and that nothing it meets stops it."""

import importlib.metadata
import sys
import zipfile
from pathlib import Path

import fakedist
import pytest
from fakedist import Install

from netbe import entrypoints, registry


def test_the_scan_agrees_with_importlib_metadata(install: Install) -> None:
    install("netbe-null", ("null", "void"))
    install("fancy-null", ("null",))
    theirs = {
        (point.name, point.value, point.dist.name if point.dist else "")
        for point in importlib.metadata.entry_points(group=registry.GROUP)
    }
    ours = {
        (entry.name, entry.value, entry.distribution.name)
        for entry in entrypoints.scan().entry_points
        if entry.group == registry.GROUP
    }
    assert ours == theirs


def test_comments_spaces_and_other_groups_are_passed_over(tmp_path: Path) -> None:
    ours = "# x = y\n; z = y\n\n  null  =  m:p  \r\nnoequals\n"
    text = f"[a]\nnull = no:no\n[netbe.backends]\r\n{ours}[b]\nvoid = no\n"
    info = tmp_path / "x-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(text)
    assert [(e.name, e.value) for e in entrypoints.scan([str(tmp_path)]).entry_points] == [("null", "m:p")]


def test_a_large_file_of_entry_points_is_read_whole(tmp_path: Path) -> None:
    info = tmp_path / "x-1.dist-info"
    info.mkdir()
    many = "".join(f"script-{number} = module:function\n" for number in range(5000))
    (info / "entry_points.txt").write_text(f"[console_scripts]\n{many}[netbe.backends]\nnull = m:p\n")
    assert [entry.name for entry in entrypoints.scan([str(tmp_path)]).entry_points] == ["null"]


def test_folders_of_other_shapes_are_read_or_passed_over(tmp_path: Path) -> None:
    points = "[netbe.backends]\n{} = m:p\n"
    for folder, prefix in (
        ("develop.egg-info", "dev"),
        ("old-1.0-py3.11.egg-info", "old"),
        ("stale-1.0.dist-info", "gone"),
        ("stale-2.0.dist-info", "kept"),
        ("~roken-1.0.dist-info", "leftover"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "entry_points.txt").write_text(points.format(prefix))
    (tmp_path / "develop.egg-info" / "PKG-INFO").write_text("Name: Develop\nVersion: 3.1\n\nVersion: 9\n")
    (tmp_path / "single.egg-info").write_text("Name: single\n")
    (tmp_path / "empty-1.0.dist-info").mkdir()
    paths = [str(tmp_path), str(tmp_path), str(tmp_path / "absent"), str(tmp_path / "single.egg-info")]
    found = entrypoints.scan(paths)
    assert {entry.name: str(entry.distribution) for entry in found.entry_points} == {
        "dev": "Develop 3.1",
        "old": "old 1.0",
        "kept": "stale 2.0",
    }
    assert not found.unreadable


def test_plugins_in_a_zip_file_are_found(tmp_path: Path) -> None:
    archive = tmp_path / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path, text in fakedist.files_of("zipped", ("zip",)).items():
            file.writestr(path, text)
    (entry,) = entrypoints.scan([str(archive)]).entry_points
    assert (entry.name, str(entry.distribution)) == ("zip", "zipped 1.0")


@pytest.mark.usefixtures("install")
def test_distributions_of_somebodys_finder_are_found_and_its_faults_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakedist.write(tmp_path / "hidden", fakedist.files_of("hidden", ("hidden",)))

    class Finder:
        def find_spec(self, *_: object) -> None:
            return None

        def find_distributions(self, _: object) -> list[importlib.metadata.Distribution]:
            return [importlib.metadata.Distribution.at(tmp_path / "hidden" / "hidden-1.0.dist-info")]

    class Faulty(Finder):
        def find_distributions(self, _: object) -> list[importlib.metadata.Distribution]:
            raise RuntimeError("gone")

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Faulty(), Finder()])
    registry.refresh()
    assert [info.distribution for info in registry.list_backends() if info.prefix == "hidden"] == ["hidden"]
    assert [info.error for info in registry.list_backends() if info.prefix == ""] == [
        "metadata cannot be read: metadata in Faulty cannot be read: RuntimeError('gone')"
    ]
