# SPDX-License-Identifier: BSD-2-Clause
"""netbe.h stands here once more, so that the sdist builds alone."""

from pathlib import Path

import netbe

COPY = Path(__file__).parents[1] / "src" / "netbe_netmap" / "_native" / "netbe.h"


def test_the_copy_of_netbe_h_is_the_original() -> None:
    assert COPY.read_bytes() == (Path(netbe.get_include()) / "netbe.h").read_bytes()
