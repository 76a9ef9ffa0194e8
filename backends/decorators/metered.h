/* What the two metered decorators share. */
#ifndef BACKENDS_DECORATORS_METERED_H
#define BACKENDS_DECORATORS_METERED_H

#include "server/base/error.h"

#include <stdint.h>

/* Records an action that began at clock_monotonic_us() `start_us`, and hands
 * its status on. */
enum status metered_end(const char *store, const char *action, int64_t start_us,
			enum status status);

#endif
