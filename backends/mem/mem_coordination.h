/* A coordination of one process's parts, for tests; `struct coordination` has the
 * contract. */
#ifndef BACKENDS_MEM_MEM_COORDINATION_H
#define BACKENDS_MEM_MEM_COORDINATION_H

#include "backends/coordination.h"

struct coordination *mem_coordination_new(void);

#endif
