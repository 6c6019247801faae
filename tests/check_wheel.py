# SPDX-License-Identifier: BSD-2-Clause
"""Run inside an environment that has one wheel alone: import it, look at what it ships. No pytest."""

import importlib
import importlib.metadata
import sys
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
    ],
}
IMPORTS = {
    "netbe-core": "netbe",
    "netbe-tap": "netbe_tap",
    "netbe-netmap": "netbe_netmap",
    "netbe-cli": "netbe_cli",
}


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
    metadata = importlib.metadata.metadata(name)
    assert metadata["License-Expression"] == "BSD-2-Clause"
    sys.stdout.write(f"{name} {metadata['Version']}: imports alone, {len(files)} files\n")


main(*sys.argv[1:])
