/*
 * Who fetches a blob now: a lease "fill/<digest>", held by the replica whose
 * address it carries, signed, and renewed by one thread for all of them.
 *
 * A claim keeps others from fetching the same bytes; nothing breaks without it.
 * Who has lost his (he was paused, say, for longer than it lasts) goes on with what
 * he does: what he stores, he stores under its digest.
 */
#ifndef CLUSTER_CLAIM_H
#define CLUSTER_CLAIM_H

#include "server/base/digest.h"
#include "server/base/error.h"
#include "server/cluster/cluster.h"

struct claim;

struct claim_holder {
	uint64_t fence;
	/* "": no replica signed what stands there. Never to be connected to. */
	char address[CLUSTER_ADDRESS_SIZE];
};

/* BW_OK: it is ours; end it with claim_drop. BW_CONFLICT: *ret_holder's. Everything
 * else: the coordination could not tell. What a former life of this replica left
 * behind is taken over at once. */
enum status claim_take(struct cluster *cluster, const struct digest *digest,
		       struct claim **ret_claim, struct claim_holder *ret_holder,
		       struct error *error);

/* Takes it from a holder who is known to have died, or to do nothing for it; BW_CONFLICT
 * when somebody else was faster. Its fence is what it is taken by: a newer holder
 * loses nothing. */
enum status claim_take_over(struct cluster *cluster, const struct digest *digest,
			    const struct claim_holder *dead, struct claim **ret_claim,
			    struct claim_holder *ret_holder, struct error *error);

/* Has it been renewed in time, as far as we know? */
bool claim_is_held(const struct claim *claim);

/* Gives it back, when it is still ours. NULL is fine. */
void claim_drop(struct claim *claim);

#endif
