/* An index in memory, for tests: the metadata store's contract, nothing more. */
#ifndef BACKENDS_MEM_MEM_METADATA_STORE_H
#define BACKENDS_MEM_MEM_METADATA_STORE_H

#include "backends/metadata_store.h"

struct metadata_store *mem_metadata_store_new(void);

#endif
