# SPDX-License-Identifier: BSD-2-Clause
"""What importing netbe and opening a name cost, with few and with many plugin distributions installed."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from report import Case, Subject

_OPEN = """
import json, sys, time
sys.path.insert(0, {folder!r})
began = time.perf_counter()
import netbe
imported = time.perf_counter()
netbe.open("pair:x").close()
print(json.dumps({{"import": (imported - began) * 1e3, "open": (time.perf_counter() - imported) * 1e3}}))
"""
_PLUGGY = """
import json, time
began = time.perf_counter()
import importlib.metadata
import pluggy
importlib.metadata.entry_points(group="x")
print(json.dumps({"import": (time.perf_counter() - began) * 1e3}))
"""


@contextmanager
def case(*, quick: bool) -> Iterator[Case]:
    """Milliseconds in a fresh process; smaller is better."""
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        for folder, count in ((few, 2), (many, 200)):
            for number in range(count):
                _distribution(Path(folder), number)
        runs = 2 if quick else 5
        yield Case(
            "opening",
            "Importing netbe and opening pair:x, in a fresh process (smaller is better)",
            [
                Subject("netbe, 2 other plugin distributions", _measured(_OPEN.format(folder=few), runs)),
                Subject("netbe, 200 other plugin distributions", _measured(_OPEN.format(folder=many), runs)),
                Subject("import pluggy and one scan of the metadata", _measured(_PLUGGY, runs)),
            ],
            {"import": "ms", "open": "ms"},
        )


def _distribution(folder: Path, number: int) -> None:
    info = folder / f"netbe_fake{number}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: netbe-fake{number}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[netbe.backends]\nfake{number} = no_such_module:plugin\n")


def _measured(text: str, runs: int) -> Callable[[], dict[str, float]]:
    def once() -> dict[str, float]:
        found: list[dict[str, float]] = [
            json.loads(subprocess.run([sys.executable, "-c", text], check=True, capture_output=True).stdout)
            for _ in range(runs)
        ]
        return {name: min(one[name] for one in found) for name in found[0]}

    return once
