# SPDX-License-Identifier: BSD-2-Clause
"""Two cables joined by a bridge: what netbe is for, in one screen and without privilege.

near ---- pair:left ---- Bridge ---- pair:right ---- far
"""

import contextlib
import time

import netbe

SECONDS = 2.0
SIZE = 60


def main() -> None:
    """Send frames in at one end for two seconds, count them at the other, print what happened."""
    near, left = netbe.open("pair:left"), netbe.open("pair:left")
    right, far = netbe.open("pair:right"), netbe.open("pair:right")
    frame = b"\xff" * 6 + bytes.fromhex("020000000001") + b"\x88\xb5"
    batch = netbe.FrameBatch([frame + bytes(SIZE - len(frame))] * 64)
    room = netbe.FrameBatch()
    sent = received = 0
    with near, left, right, far, netbe.Bridge(left, right) as bridge:
        began = time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            with contextlib.suppress(netbe.BackendFull):  # the bridge is behind: receive first
                sent += near.send_burst(batch)
            received += far.recv_burst(room)
        while far.wait(0.2):
            received += far.recv_burst(room)
        seconds = time.perf_counter() - began
        dropped = bridge.stats().total.dropped
    print(f"bridged pair:left and pair:right for {seconds:.1f} s, frames of {SIZE} bytes")
    print(f"  sent      {sent:>12,}")
    print(f"  received  {received:>12,}   {received / seconds / 1e6:.2f} million a second")
    print(f"  dropped   {dropped:>12,}   lost {sent - received:,}")
    if sent != received or not received:
        raise SystemExit("frames were lost")


if __name__ == "__main__":
    main()
