# SPDX-License-Identifier: BSD-2-Clause
"""What all tests of the command share."""

from collections.abc import Iterator

import pytest
from command import MakeWire, Wire, wires


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the backends of `wires` are installed."""
    return wires(tmp_path_factory.mktemp("plugin"))


@pytest.fixture
def make_wire() -> Iterator[MakeWire]:
    """Makes cables; they are closed after the test."""
    made: list[Wire] = []

    def make() -> Wire:
        made.append(Wire.make())
        return made[-1]

    yield make
    for wire in made:
        wire.close()


@pytest.fixture
def wire(make_wire: MakeWire) -> Wire:
    """A cable between the test and the command."""
    return make_wire()


@pytest.fixture
def other(make_wire: MakeWire) -> Wire:
    """A second one."""
    return make_wire()
