#include "server/cluster/budget.h"

#include "server/base/memory.h"
#include "server/cluster/cluster_private.h"

#include <stdlib.h>
#include <string.h>

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

/* A share that grew is noticed after this long. */
#define RECHECK_MS 500

/* As many as upstreams were ever configured; kept until the end. */
struct slot {
	UT_hash_handle hh;
	unsigned taken;
	char upstream[];
};

unsigned budget_share(unsigned max_connections, unsigned replicas)
{
	unsigned share = max_connections / (replicas ? replicas : 1);

	return share ? share : 1;
}

/* With the lock held. */
static struct slot *slot_of(struct cluster *cluster, const char *upstream)
{
	size_t length = strlen(upstream);
	struct slot *slot;

	HASH_FIND(hh, cluster->slots, upstream, length, slot);
	if (!slot) {
		slot = xcalloc(1, sizeof(*slot) + length + 1);
		memcpy(slot->upstream, upstream, length + 1);
		HASH_ADD_KEYPTR(hh, cluster->slots, slot->upstream, length, slot);
	}
	return slot;
}

bool budget_enter(struct cluster *cluster, const char *upstream, unsigned max_connections,
		  deadline_ms deadline)
{
	struct slot *slot;
	bool entered;

	pthread_mutex_lock(&cluster->lock);
	slot = slot_of(cluster, upstream);
	for (;;) {
		entered = slot->taken < budget_share(max_connections, cluster_replicas(cluster));
		if (entered || deadline_passed(deadline))
			break;
		cond_wait_until(&cluster->moved, &cluster->lock,
				deadline_earlier(deadline, deadline_in(RECHECK_MS)));
	}
	if (entered)
		slot->taken++;
	pthread_mutex_unlock(&cluster->lock);
	return entered;
}

void budget_leave(struct cluster *cluster, const char *upstream)
{
	pthread_mutex_lock(&cluster->lock);
	slot_of(cluster, upstream)->taken--;
	pthread_cond_broadcast(&cluster->moved);
	pthread_mutex_unlock(&cluster->lock);
}

void slots_release(struct cluster *cluster)
{
	struct slot *slot, *next;

	HASH_ITER (hh, cluster->slots, slot, next) {
		HASH_DEL(cluster->slots, slot);
		free(slot);
	}
}
