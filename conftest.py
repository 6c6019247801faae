# SPDX-License-Identifier: BSD-2-Clause
"""What every run of tests has in common."""

import signal

# Who starts the tests in the background of a script has SIGINT ignored, and so would every program that they
# start: a test that interrupts one would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
