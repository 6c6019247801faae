# SPDX-License-Identifier: BSD-2-Clause
"""What every run of tests has in common."""

import resource
import signal

# Who starts the tests in the background of a script has SIGINT ignored, and so would every program that they
# start: a test that interrupts one would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A shell's 1024 descriptors are too few for a thousand backends at once.
_now, _most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(_now, min(_most, 16384)), _most))
