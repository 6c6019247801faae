# SPDX-License-Identifier: BSD-2-Clause
"""What a test needs of the machine: without it the test says so and skips; where all is required, it fails.

``NETBE_REQUIRE_ALL=1`` is set by the nox session ``e2e``, so that a missing component cannot pass for a
success there. ``NETBE_UNPRIVILEGED=1`` makes root's tests skip although root runs them, so that each runs once
where both sessions do.
"""

import os
import shutil
from pathlib import Path

import pytest


def need(what: str, *, there: bool) -> None:
    """Go on if it is there; else skip, or fail where everything is required."""
    if there:
        return
    if os.environ.get("NETBE_REQUIRE_ALL") == "1":
        pytest.fail(f"needs {what}, and NETBE_REQUIRE_ALL is set", pytrace=False)
    pytest.skip(f"needs {what}")


def need_programs(*names: str) -> None:
    """Programs that are called by name."""
    missing = [name for name in names if shutil.which(name) is None]
    need(f"the program {', '.join(missing)}", there=not missing)


def need_lab() -> None:
    """What real devices take: root with its capabilities, the tun driver and iproute2."""
    if os.environ.get("NETBE_UNPRIVILEGED") == "1":
        pytest.skip("needs root, and NETBE_UNPRIVILEGED is set")
    need("root", there=os.geteuid() == 0)
    need("/dev/net/tun", there=Path("/dev/net/tun").exists())
    need_programs("ip")


def need_in_a_virtual_machine(what: str, *, there: bool, why: str) -> None:
    """The one kind of skip that `NETBE_REQUIRE_ALL` allows: what no machine of the CI can have, for this reason.

    Such a test is run by hand, in a virtual machine that has it.
    """
    if not there:
        pytest.skip(f"needs {what}; allowed to be missing everywhere, since {why}")
