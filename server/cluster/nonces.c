#include "server/cluster/nonces.h"

#include "server/base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

struct used {
	UT_hash_handle hh;
	TAILQ_ENTRY(used) entry;
	int64_t until_ms;
	char nonce[NONCE_LENGTH];
};
TAILQ_HEAD(used_list, used);

struct nonces {
	int64_t keep_ms;
	size_t max;
	pthread_mutex_t lock; /* covers what follows; a leaf */
	struct used *by_nonce;
	struct used_list in_order; /* oldest first */
};

struct nonces *nonces_new(int64_t keep_ms, size_t max)
{
	struct nonces *nonces = xcalloc(1, sizeof(*nonces));

	nonces->keep_ms = keep_ms;
	nonces->max = max;
	pthread_mutex_init(&nonces->lock, NULL);
	TAILQ_INIT(&nonces->in_order);
	return nonces;
}

/* With the lock held. */
static void forget(struct nonces *nonces, struct used *used)
{
	HASH_DEL(nonces->by_nonce, used);
	TAILQ_REMOVE(&nonces->in_order, used, entry);
	free(used);
}

void nonces_free(struct nonces *nonces)
{
	struct used *used;

	if (!nonces)
		return;
	while ((used = TAILQ_FIRST(&nonces->in_order)))
		forget(nonces, used);
	pthread_mutex_destroy(&nonces->lock);
	free(nonces);
}

bool nonces_use(struct nonces *nonces, const char *nonce, int64_t now_ms)
{
	struct used *used, *found;
	bool is_new;

	pthread_mutex_lock(&nonces->lock);
	while ((used = TAILQ_FIRST(&nonces->in_order)) && used->until_ms <= now_ms)
		forget(nonces, used);
	HASH_FIND(hh, nonces->by_nonce, nonce, NONCE_LENGTH, found);
	is_new = !found && HASH_COUNT(nonces->by_nonce) < nonces->max;
	if (is_new) {
		used = xcalloc(1, sizeof(*used));
		memcpy(used->nonce, nonce, NONCE_LENGTH);
		used->until_ms = now_ms + nonces->keep_ms;
		HASH_ADD(hh, nonces->by_nonce, nonce, NONCE_LENGTH, used);
		TAILQ_INSERT_TAIL(&nonces->in_order, used, entry);
	}
	pthread_mutex_unlock(&nonces->lock);
	return is_new;
}
