/* SPDX-License-Identifier: BSD-2-Clause */
/* What the cffi module sees of the C sources; cdef.h names the same functions. */
#include "netbe.h"

#include "engine.h"
#include "fdb.h"
#include "fdport.h"
#include "io.h"
#include "memory.h"
#include "port.h"
#include "ring.h"
#include "services.h"
#include "traffic.h"
