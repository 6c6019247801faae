# SPDX-License-Identifier: BSD-2-Clause
"""The ``netbe`` command, a consumer of netbe's public API like any other."""
