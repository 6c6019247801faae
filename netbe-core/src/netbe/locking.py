# SPDX-License-Identifier: BSD-2-Clause
"""A lock that a forked child can take even if some thread of its parent held it at the fork."""

import os
import threading
from types import TracebackType


class ForkSafeLock:
    """A lock for state that lives as long as the process: never collected, renewed in each child."""

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
