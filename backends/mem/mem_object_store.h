/* Objects in memory, for tests: the object store's contract, nothing more. */
#ifndef BACKENDS_MEM_MEM_OBJECT_STORE_H
#define BACKENDS_MEM_MEM_OBJECT_STORE_H

#include "backends/object_store.h"

struct object_store *mem_object_store_new(void);

#endif
