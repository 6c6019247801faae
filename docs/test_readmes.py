# SPDX-License-Identifier: BSD-2-Clause
"""The READMEs' Python blocks run, each README's in one namespace."""

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

ROOT = Path(__file__).parent.parent
READMES = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT))


@pytest.mark.parametrize(
    "readme",
    [
        path
        for path in (ROOT / "README.md", *sorted(ROOT.glob("netbe-*/README.md")))
        if "```python" in path.read_text()
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_python_blocks_of_a_readme_run(readme: Path) -> None:
    """One that does not raises."""
    examples = list(READMES.parse(readme))
    assert examples
    for example in examples:
        example.evaluate()
