#include "server/maintenance/turn.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#ifndef HOST_NAME_MAX
#define HOST_NAME_MAX 64
#endif

/* For whoever looks at the leases; a turn is held by its fence. */
static void name_us(char *target, size_t size)
{
	char host[HOST_NAME_MAX + 1] = "";

	gethostname(host, sizeof(host) - 1);
	snprintf(target, size, "%s/%ld", host, (long)getpid());
}

enum status turn_take(struct turn *turn, struct coordination *coordination, const char *name,
		      int64_t ttl_ms, struct error *error)
{
	char holder[COORDINATION_TEXT_MAX + 1];
	struct lease lease = {0};
	enum status status;

	*turn = (struct turn){.coordination = coordination, .name = name, .ttl_ms = ttl_ms};
	if (!coordination)
		return BW_OK;
	name_us(holder, sizeof(holder));
	turn->renew = deadline_in(ttl_ms / 2);
	status = coordination_take_lease(coordination, name, holder, ttl_ms, &lease, error);
	turn->fence = lease.fence;
	return status;
}

void turn_keep(struct turn *turn)
{
	if (!turn->coordination || !deadline_passed(turn->renew))
		return;
	turn->renew = deadline_in(turn->ttl_ms / 2);
	coordination_renew_lease(turn->coordination, turn->name, turn->fence, turn->ttl_ms, NULL);
}

void turn_give_back(struct turn *turn)
{
	if (turn->coordination)
		coordination_drop_lease(turn->coordination, turn->name, turn->fence, NULL);
}
