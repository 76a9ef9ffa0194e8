/* A fill's inside, for the two files that make it up: fill.c (states, waiting,
 * the table) and fill_run.c (fetching). */
#ifndef CACHE_FILL_PRIVATE_H
#define CACHE_FILL_PRIVATE_H

#include "server/base/work_pool.h"
#include "server/cache/fill.h"
#include "server/cache/origin.h"
#include "server/cache/spool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

struct fill_table {
	struct content *content;
	struct hot_cache *hot; /* or NULL */
	bool remote_objects; /* see cache_options */
	struct cluster *cluster; /* or NULL */
	struct spool spool;
	_Atomic bool cancelled; /* set once, by fill_table_free */
	/* Covers `fills` and `lanes`. A lane's work pool and the metrics have locks
	 * of their own, which are taken under it. */
	pthread_mutex_t lock;
	struct fill *fills; /* by digest; each entry holds a reference */
	struct lane *lanes; /* the threads of each origin */
};

struct fill {
	/* fixed from the start */
	struct fill_table *table;
	struct origin *origin; /* owned */
	char *link_from; /* or NULL */
	struct digest digest;
	char digest_text[DIGEST_TEXT_SIZE];

	_Atomic unsigned references;
	UT_hash_handle hh; /* the table's lock */
	bool in_table; /* the table's lock */

	/* the runner's alone, until the state says otherwise */
	struct spool_file spool; /* opened before STREAMING, closed by the last reference */
	struct hasher hasher;
	uint64_t written;
	uint64_t skip; /* bytes of the reply that we have already */
	uint64_t announced; /* `published` at the last broadcast */
	int64_t announced_at; /* monotonic ms of it */
	struct error sink_error; /* why the sink refused bytes */

	pthread_mutex_t lock; /* covers what follows; a leaf, never held over I/O */
	pthread_cond_t moved;
	unsigned waiting; /* readers in fill_wait_* */
	enum fill_state state;
	bool has_total;
	uint64_t total;
	uint64_t published; /* readers may read below it */
	struct error error; /* with FAILED */
};

/* The work pool's task: fetches, ends in DONE or FAILED, drops its reference. */
void fill_run(void *argument);

/* No newcomer finds the fill any more. */
void fill_leave_table(struct fill *fill);

/* The runner's steps through the states. */
void fill_set_total(struct fill *fill, uint64_t total); /* PENDING to STREAMING */
void fill_publish(struct fill *fill, uint64_t end);
void fill_set_done(struct fill *fill);
void fill_set_failed(struct fill *fill, const struct error *error);

#endif
