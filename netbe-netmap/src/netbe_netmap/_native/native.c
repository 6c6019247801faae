/* SPDX-License-Identifier: BSD-2-Clause */
/* What the cffi module sees of the C sources; the .cdef files name the same functions. */
#include "netbe.h"

#include "kernel.h"
#include "nmport.h"
#include "vale.h"
