#include "backends/decorators/faulty.h"

#include <stdatomic.h>
#include <string.h>

enum status fault(struct fault_plan *plan, const char *action, struct error *error)
{
	enum status status = (enum status)atomic_load(&plan->status);
	unsigned every = atomic_load(&plan->every);
	unsigned call;

	if (plan->action && strcmp(plan->action, action) != 0)
		return BW_OK;
	call = atomic_fetch_add(&plan->calls, 1) + 1;
	if (every == 0 || call % every != 0 || status == BW_OK)
		return BW_OK;
	atomic_fetch_add(&plan->failed, 1);
	return error_set(error, status, "%s was made to fail", action);
}
