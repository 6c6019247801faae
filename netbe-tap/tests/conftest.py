# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of taps share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from needs import need_lab
from taps import quiet

import netbe
from lab import Host
from netbe_tap import backend
from netbe_tap.backend import Request, Tap

Opener = Callable[..., Tap]


@pytest.fixture
def host() -> Iterator[Host]:
    """A network namespace of the test's own, in which nothing says anything by itself."""
    need_lab()
    with Host() as made:
        quiet(made)
        yield made


@pytest.fixture
def tap(host: Host) -> Iterator[Opener]:
    """Opens a tap inside `host`, ``tap0`` if nothing is said; closed with the test."""
    with ExitStack() as stack:

        def opened(name: str = "tap0", **options: Any) -> Tap:
            made = netbe.open(name, netns=host.name, **options)
            assert isinstance(made, Tap)
            return stack.enter_context(made)

        yield opened


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
