# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of both providers share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from providers import PROVIDERS, Provider


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the embedded switches of this test are; its name is short, as sockets want it."""
    with tempfile.TemporaryDirectory(prefix="nbt", dir="/dev/shm") as made:
        place = Path(made) / "s"
        monkeypatch.setenv("NETBE_VALE_FOLDER", str(place))
        yield place


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest, folder: Path) -> Iterator[Provider]:
    """Each provider in turn; what it opened is closed with the test."""
    with PROVIDERS[request.param]() as one:
        yield one
