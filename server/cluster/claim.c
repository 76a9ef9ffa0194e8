#include "server/cluster/claim.h"

#include "backends/coordination.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/cluster/cluster_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE (DIGEST_TEXT_SIZE + 8)

struct claim {
	LIST_ENTRY(claim) entry; /* the cluster's lock, as all below but what is fixed */
	struct cluster *cluster; /* fixed */
	char name[NAME_SIZE]; /* fixed */
	uint64_t fence; /* fixed */
	deadline_ms renew_at;
	bool renewing; /* by the renewer, with the lock not held */
	_Atomic deadline_ms held_until; /* as far as we know; 0: lost */
};

static void name_of(const struct digest *digest, char name[NAME_SIZE])
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	snprintf(name, NAME_SIZE, "fill/%s", text);
}

/* "<address>/<signature>": whoever reads it connects only to what a replica gave for
 * this very blob. */
static void format_holder(struct cluster *cluster, const char *name,
			  char holder[COORDINATION_TEXT_MAX + 1])
{
	char signature[SIGNATURE_SIZE];

	keyring_sign(cluster->keys, "holder", SIGNED_TEXTS(name, cluster->address), signature);
	snprintf(holder, COORDINATION_TEXT_MAX + 1, "%s/%s", cluster->address, signature);
}

static void read_holder(struct cluster *cluster, const char *name, const struct lease *lease,
			struct claim_holder *ret)
{
	const char *slash = strchr(lease->holder, '/');
	struct claim_holder holder = {.fence = lease->fence};
	size_t length = slash ? (size_t)(slash - lease->holder) : 0;

	if (length > 0 && length < sizeof(holder.address)) {
		memcpy(holder.address, lease->holder, length);
		if (!keyring_check(cluster->keys, "holder", SIGNED_TEXTS(name, holder.address),
				   slash + 1))
			holder.address[0] = '\0';
	}
	*ret = holder;
}

static struct claim *claim_new(struct cluster *cluster, const char *name, uint64_t fence,
			       int64_t asked_ms)
{
	struct claim *claim = xcalloc(1, sizeof(*claim));

	claim->cluster = cluster;
	str_copy(claim->name, sizeof(claim->name), name);
	claim->fence = fence;
	claim->renew_at = asked_ms + cluster->timing.lease_ms / 3;
	atomic_init(&claim->held_until, asked_ms + cluster->timing.lease_ms);
	pthread_mutex_lock(&cluster->lock);
	LIST_INSERT_HEAD(&cluster->claims, claim, entry);
	pthread_mutex_unlock(&cluster->lock);
	return claim;
}

static bool runs_here(struct cluster *cluster, const char *name, uint64_t fence)
{
	struct claim *claim;

	pthread_mutex_lock(&cluster->lock);
	LIST_FOREACH(claim, &cluster->claims, entry)
	{
		if (claim->fence == fence && strcmp(claim->name, name) == 0)
			break;
	}
	pthread_mutex_unlock(&cluster->lock);
	return claim != NULL;
}

static enum status take(struct cluster *cluster, const char *name, struct claim **ret_claim,
			struct claim_holder *ret_holder, struct error *error)
{
	char holder[COORDINATION_TEXT_MAX + 1];
	struct lease lease = {0};
	int64_t asked_ms = clock_monotonic_ms();
	enum status status;

	format_holder(cluster, name, holder);
	status = coordination_take_lease(cluster->coordination, name, holder,
					 cluster->timing.lease_ms, &lease, error);
	if (status == BW_OK)
		*ret_claim = claim_new(cluster, name, lease.fence, asked_ms);
	else if (status == BW_CONFLICT)
		read_holder(cluster, name, &lease, ret_holder);
	return status;
}

static enum status drop_and_take(struct cluster *cluster, const char *name, uint64_t fence,
				 struct claim **ret_claim, struct claim_holder *ret_holder,
				 struct error *error)
{
	enum status status = coordination_drop_lease(cluster->coordination, name, fence, error);

	if (status == BW_OK)
		status = take(cluster, name, ret_claim, ret_holder, error);
	return status;
}

enum status claim_take(struct cluster *cluster, const struct digest *digest,
		       struct claim **ret_claim, struct claim_holder *ret_holder,
		       struct error *error)
{
	struct claim_holder holder = {0};
	char name[NAME_SIZE];
	enum status status;

	name_of(digest, name);
	status = take(cluster, name, ret_claim, &holder, error);
	if (status == BW_CONFLICT && strcmp(holder.address, cluster->address) == 0 &&
	    !runs_here(cluster, name, holder.fence))
		status = drop_and_take(cluster, name, holder.fence, ret_claim, &holder, error);
	if (status == BW_CONFLICT)
		*ret_holder = holder;
	return status;
}

enum status claim_take_over(struct cluster *cluster, const struct digest *digest,
			    const struct claim_holder *dead, struct claim **ret_claim,
			    struct claim_holder *ret_holder, struct error *error)
{
	char name[NAME_SIZE];

	name_of(digest, name);
	return drop_and_take(cluster, name, dead->fence, ret_claim, ret_holder, error);
}

bool claim_is_held(const struct claim *claim)
{
	return !deadline_passed(atomic_load(&claim->held_until));
}

void claim_drop(struct claim *claim)
{
	struct cluster *cluster;

	if (!claim)
		return;
	cluster = claim->cluster;
	pthread_mutex_lock(&cluster->lock);
	while (claim->renewing)
		pthread_cond_wait(&cluster->moved, &cluster->lock);
	LIST_REMOVE(claim, entry);
	pthread_mutex_unlock(&cluster->lock);
	coordination_drop_lease(cluster->coordination, claim->name, claim->fence, NULL);
	free(claim);
}

/* ---- the renewer ------------------------------------------------------- */

/* With the lock held. */
static struct claim *next_due(struct cluster *cluster)
{
	struct claim *claim;

	LIST_FOREACH(claim, &cluster->claims, entry)
	{
		if (deadline_passed(claim->renew_at))
			return claim;
	}
	return NULL;
}

static void renew(struct claim *claim)
{
	struct cluster *cluster = claim->cluster;
	int64_t asked_ms = clock_monotonic_ms();
	enum status status = coordination_renew_lease(cluster->coordination, claim->name,
						      claim->fence, cluster->timing.lease_ms, NULL);

	if (status == BW_OK) {
		atomic_store(&claim->held_until, asked_ms + cluster->timing.lease_ms);
	} else if (status == BW_CONFLICT && atomic_exchange(&claim->held_until, 0) != 0) {
		metric_inc(M_CLUSTER_LEASES_LOST, NULL);
		log_event(LOG_WARNING, "another replica may fetch this too: our lease is lost",
			  LOG_S("lease", claim->name));
	}
}

void *claims_renew(void *argument)
{
	struct cluster *cluster = argument;
	int64_t pause_ms = cluster->timing.lease_ms / 12 + 1;

	pthread_mutex_lock(&cluster->lock);
	while (!cluster->stopping) {
		struct claim *claim = next_due(cluster);

		if (!claim) {
			cond_wait_until(&cluster->moved, &cluster->lock, deadline_in(pause_ms));
			continue;
		}
		claim->renewing = true;
		claim->renew_at = deadline_in(cluster->timing.lease_ms / 3);
		pthread_mutex_unlock(&cluster->lock);
		renew(claim);
		pthread_mutex_lock(&cluster->lock);
		claim->renewing = false;
		pthread_cond_broadcast(&cluster->moved);
	}
	pthread_mutex_unlock(&cluster->lock);
	return NULL;
}
