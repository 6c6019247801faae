# SPDX-License-Identifier: BSD-2-Clause
"""``python -m netbe_cli`` is ``netbe``."""

from netbe_cli.main import run

if __name__ == "__main__":
    run()
