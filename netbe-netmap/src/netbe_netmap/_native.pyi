# SPDX-License-Identifier: BSD-2-Clause
# The extension, as cffi makes it: what the .cdef files declare.
from typing import Any, TypeAlias

CData: TypeAlias = Any

ffi: Any
lib: Any
