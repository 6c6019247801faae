# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of taps share."""

from collections.abc import Iterator

import pytest

import netbe
from lab import Host
from needs import need_lab
from netbe_tap import backend
from netbe_tap.backend import Request


@pytest.fixture
def host() -> Iterator[Host]:
    """A network namespace of the test's own."""
    need_lab()
    with Host() as made:
        yield made


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Request]]:
    """What would be opened: no interface is touched, so that no privilege is needed."""
    seen: list[Request] = []
    ends: list[netbe.Backend] = []

    def opened(_: str, request: Request) -> netbe.Backend:
        seen.append(request)
        ends.extend(netbe.make_pair())
        return ends[-1]

    monkeypatch.setattr(backend.Tap, "open", opened)
    yield seen
    for end in ends:
        end.close()
