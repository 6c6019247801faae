# SPDX-License-Identifier: BSD-2-Clause
"""Run inside an environment that has one wheel alone: import it, look at what it ships. No pytest."""

import importlib
import importlib.metadata
import os
import sys
import tempfile
import zipfile
from pathlib import Path

SHIPS = {
    "netbe-core": ["netbe/include/netbe.h", "netbe/py.typed", "netbe/_native.pyi"],
    "netbe-tap": ["netbe_tap/py.typed"],
    "netbe-netmap": ["netbe_netmap/py.typed", "netbe_netmap/_native.pyi"],
    "netbe-cli": [
        "netbe_cli/py.typed",
        "netbe_cli-{version}.data/data/share/man/man1/netbe.1",
        "netbe_cli-{version}.data/data/share/man/man1/netbe-bridge.1",
        "netbe_cli-{version}.data/data/share/man/man1/netbe-vale-list.1",
    ],
}
IMPORTS = {
    "netbe-core": "netbe",
    "netbe-tap": "netbe_tap",
    "netbe-netmap": "netbe_netmap",
    "netbe-cli": "netbe_cli",
}


def exchange_on_the_embedded_switch() -> None:
    import netbe

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        os.environ["NETBE_VALE_FOLDER"] = folder
        a, b = (netbe.open(f"vale0:{port},provider=embedded") for port in "ab")
        with a, b:
            a.send(frame := b"\xff" * 6 + bytes(54))
            assert b.wait(5)
            assert b.recv() == frame


def main(name: str, wheel: str) -> None:
    files = zipfile.ZipFile(wheel).namelist()
    version = importlib.metadata.version(name)
    for wanted in (path.format(version=version) for path in SHIPS[name]):
        assert wanted in files, f"{wheel} does not ship {wanted}"
    assert not [file for file in files if "/_native/" in file or Path(file).name.startswith("test_")], files
    module = importlib.import_module(IMPORTS[name])
    for entry in importlib.metadata.distribution(name).entry_points:
        entry.load()
    if name == "netbe-core":
        for public in module.__all__:
            getattr(module, public)
        here, there = module.make_pair()
        with here, there:
            here.send(bytes(60))
            assert there.recv() == bytes(60)
    if name == "netbe-netmap":
        exchange_on_the_embedded_switch()
    metadata = importlib.metadata.metadata(name)
    assert metadata["License-Expression"] == "BSD-2-Clause"
    sys.stdout.write(f"{name} {metadata['Version']}: imports alone, {len(files)} files\n")


main(*sys.argv[1:])
