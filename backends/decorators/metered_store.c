#include "backends/decorators/metered.h"

#include "server/base/clock.h"
#include "server/base/metrics.h"

#include <stdbool.h>

static bool is_failure(enum status status)
{
	switch (status) {
	case BW_UNAVAILABLE:
	case BW_UNREACHABLE:
	case BW_TIMEOUT:
	case BW_CORRUPT:
	case BW_NO_SPACE:
	case BW_IO:
	case BW_INTERNAL:
		return true;
	default: /* found, denied, or nobody's fault but the caller's */
		return false;
	}
}

enum status metered_end(const char *store, const char *action, int64_t start_us, enum status status)
{
	double seconds = (double)(clock_monotonic_us() - start_us) / 1e6;

	metric_add(M_STORAGE_SECONDS, seconds, store, action);
	if (is_failure(status))
		metric_inc(M_STORAGE_ERRORS, store, action);
	return status;
}
