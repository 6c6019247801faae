# SPDX-License-Identifier: BSD-2-Clause
"""The in-process ring from C to C, one thread each side, beside a plain ring that does nothing else."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import NATIVE, build, run
from report import Case, Subject


@contextmanager
def case(*, quick: bool) -> Iterator[Case]:
    """Frames a second at 60 and 1500 bytes."""
    seconds = 0.5 if quick else 2.0
    sources = [path for path in (NATIVE / "_native").glob("*.c") if path.name != "native.c"]
    includes = [f"-I{NATIVE / 'include'}", f"-I{NATIVE / '_native'}"]
    ours = build("ring_ports.c", *includes, *sources)
    plain = build("ring_plain.c")
    yield Case(
        "rings",
        "In-process ring ports, C to C",
        [
            Subject("netbe ring port", _measured(ours, seconds)),
            Subject("plain ring of slots, one copy in and one out", _measured(plain, seconds), limit=True),
        ],
        {"60": "Mpps at 60 bytes", "1500": "Mpps at 1500 bytes"},
    )


def _measured(program: Path, seconds: float) -> Callable[[], dict[str, float]]:
    def once() -> dict[str, float]:
        return {str(size): json.loads(run(program, size, seconds))["mpps"] for size in (60, 1500)}

    return once
