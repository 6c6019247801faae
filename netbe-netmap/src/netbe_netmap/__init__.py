# SPDX-License-Identifier: BSD-2-Clause
"""netbe backends ``vale`` and ``netmap``: the kernel's rings, and a switch in shared memory where there are none."""
