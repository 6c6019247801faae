# SPDX-License-Identifier: BSD-2-Clause
"""What importing netbe and opening by name cost, beside pluggy's own import and with hundreds of plugins.

Fresh interpreters take turns, and the best of several counts: what else the machine does only adds time. It is
the processor's time that is taken, which is all the time there is where nothing else runs.
"""

import subprocess
import sys
from pathlib import Path

import fakedist

ROUNDS = 7

IMPORTS = """
import sys, time
start = time.process_time()
import netbe
ours = time.process_time() - start
loaded = {module.partition(".")[0] for module in sys.modules} | set(sys.modules)
assert not loaded & {"pluggy", "importlib_metadata", "importlib.metadata", "netbe.registry"}, loaded
start = time.process_time()
import pluggy
pluggy.PluginManager("netbe").load_setuptools_entrypoints("no.such.group")
theirs = time.process_time() - start
print(ours, theirs)
"""

OPENS = """
import sys, time
sys.path.insert(0, sys.argv[1])
import netbe
start = time.process_time()
backend = netbe.open("null0")
took = time.process_time() - start
backend.close()
assert [module for module in sys.modules if module.startswith(("other_", "importlib_metadata"))] == []
print(took)
"""


def run(program: str, *arguments: str) -> list[float]:
    """The figures that a program prints, run by a fresh interpreter that writes no bytecode."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return [float(word) for word in done.stdout.split()]


def test_import_netbe_costs_at_most_twice_import_pluggy_with_its_scan() -> None:
    # netbe goes first and pays for what both need.
    pairs = [run(IMPORTS) for _ in range(ROUNDS)]
    ours, theirs = (min(column) for column in zip(*pairs, strict=True))
    assert ours <= 2 * theirs, (
        f"import netbe {ours * 1e3:.2f} ms, import pluggy and its scan {theirs * 1e3:.2f} ms"
    )


def test_opening_with_200_plugins_imports_none_and_costs_at_most_10_ms_more_than_with_2(
    tmp_path: Path,
) -> None:
    folders = {}
    for others in (1, 199):
        folder = tmp_path / str(others)
        fakedist.write(folder, fakedist.files_of("netbe-null", ("null",)))
        for number in range(others):
            broken = "raise SystemError('imported')"
            fakedist.write(folder, fakedist.files_of(f"other-{number}", (f"other{number}-",), broken))
        folders[others] = str(folder)
    turns = [[run(OPENS, folder)[0] for folder in folders.values()] for _ in range(ROUNDS)]
    few, many = (min(column) for column in zip(*turns, strict=True))
    assert many - few <= 0.010, f"open with 2 plugins {few * 1e3:.2f} ms, with 200 {many * 1e3:.2f} ms"
