# SPDX-License-Identifier: BSD-2-Clause
"""For the tests of programs that use backends: a cable inside the process, frames, and waits that end.

Nothing here needs pytest, privilege or a device::

    with netbe.testing.pair() as (mine, peer):
        program_under_test(mine)
        assert netbe.testing.receive(peer) == netbe.testing.ethernet(b"hello")
"""

from netbe.testing.cable import pair, quiet, receive, send
from netbe.testing.frames import BROADCAST, ethernet, station

__all__ = ["BROADCAST", "ethernet", "pair", "quiet", "receive", "send", "station"]
