# SPDX-License-Identifier: BSD-2-Clause
"""What all tests here share."""

import contextlib
from collections.abc import Iterator

import pytest
from fakedist import install, opened
from hypothesis import HealthCheck, settings
from kinds import KINDS, Kind

__all__ = ["install", "opened"]

# A machine that is busy with other things makes a test slow, not wrong.
settings.register_profile("netbe", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("netbe")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Each kind of backend in turn, with its other side."""
    with contextlib.closing(KINDS[request.param]()) as one:
        yield one
