# SPDX-License-Identifier: BSD-2-Clause
"""docs/architecture.md says which file holds what: of every file, in the section of its distribution."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECTIONS = dict(
    re.findall(
        r"^## (netbe-\w+), file by file\n(.*?)(?=^## )",
        (ROOT / "docs" / "architecture.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
DISTRIBUTIONS = sorted(path.parent.name for path in ROOT.glob("netbe-*/src"))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_source_file_is_in_the_table_of_its_distribution(distribution: str) -> None:
    sources = (ROOT / distribution / "src").rglob("*.[pch]*")
    names = {path.name for path in sources if path.suffix in {".py", ".pyi", ".c", ".h"}}
    assert len(names) > 5
    cells = re.findall(r"^\|(.*?)\|(.*)\|$", SECTIONS[distribution], re.MULTILINE)
    listed = {Path(name).name for row in cells for cell in row for name in re.findall(r"`([^`]*)`", cell)}
    assert not names - {"__init__.py"} - listed
    sourcelike = {name for name in listed if re.fullmatch(r"\w+\.(py|pyi|c|h)", name)}
    assert not sourcelike - names, "these are gone"
