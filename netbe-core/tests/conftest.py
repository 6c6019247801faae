# SPDX-License-Identifier: BSD-2-Clause
"""What all tests here share."""

from fakedist import install, opened
from hypothesis import HealthCheck, settings

__all__ = ["install", "opened"]

# A machine that is busy with other things makes a test slow, not wrong.
settings.register_profile("netbe", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("netbe")
