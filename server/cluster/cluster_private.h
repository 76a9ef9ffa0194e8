/* Shared by the files of this folder. */
#ifndef CLUSTER_CLUSTER_PRIVATE_H
#define CLUSTER_CLUSTER_PRIVATE_H

#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/cluster/cluster.h"
#include "server/cluster/keyring.h"
#include "server/cluster/nonces.h"
#include "server/upstream/transfer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

struct news_told;
struct slot;
LIST_HEAD(claim_list, claim);

struct cluster {
	struct coordination *coordination;
	char *address;
	struct cluster_timing timing;
	struct keyring *keys;
	char *secret_file; /* or NULL */
	struct nonces *nonces;
	struct transfer_pool *transfers;
	atomic_uint replicas;

	pthread_mutex_t lock; /* covers what follows; a leaf */
	pthread_cond_t moved; /* stopping, a claim that is dropped, a budget that moved */
	bool stopping;
	struct claim_list claims;
	struct slot *slots; /* budget.c, by upstream */
	struct upstream_set *upstreams;

	pthread_t renewer;
	pthread_t newsman;

	/* the news thread's alone (and a test's that calls news_round) */
	struct news_told *told;
	int64_t next_list_ms;
	int64_t next_alive_ms;
	struct file_stamp secret_seen;
};

/* Waits; false when the cluster ends. */
bool cluster_pause(struct cluster *cluster, int64_t ms);

void *claims_renew(void *cluster); /* the renewer's */
void *news_run(void *cluster); /* the newsman's */
void news_release(struct cluster *cluster);
void slots_release(struct cluster *cluster);

/* Is it a time (wall-clock ms, in digits) that differs from ours by no more than clocks
 * do? */
bool cluster_is_now(const char *time);

/* Reads the secret's file, if there is one and it is another than last time; the old
 * secret stays when that fails. */
enum status cluster_look_at_secret(struct cluster *cluster, struct error *error);

#endif
