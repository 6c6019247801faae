# SPDX-License-Identifier: BSD-2-Clause
"""netbe backends ``tap`` and ``vmnet``: the kernel's Ethernet taps."""
