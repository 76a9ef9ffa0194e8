#include "server/upstream/token.h"

#include "server/base/lru.h"
#include "server/base/memory.h"
#include "server/upstream/credential.h"
#include "server/upstream/token_service.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES ((size_t)8 << 20)
/* What an entry counts for; its token comes later and may be longer. */
#define ENTRY_BYTES ((size_t)4 << 10)
/* A token is given out no more when less than this is left, or a fifth of its
 * life if that is shorter. */
#define MARGIN_MS 10000
#define DENIAL_KEPT_MS 60000

/* One key's token. Asked for by one thread at a time; the others wait. */
struct entry {
	atomic_uint references;
	pthread_mutex_t lock; /* covers all below; leaf, never held over a request */
	pthread_cond_t arrived;
	bool asking;
	uint64_t answers; /* requests that ended */
	struct error last; /* what the last one said; BW_OK: it brought the token */
	char *token; /* NULL: none */
	int64_t usable_until_ms;
	int64_t denied_until_ms;
};

struct token_cache {
	struct transfer_pool *pool;
	struct login_memory *logins;
	struct lru *entries;
	pthread_mutex_t lock; /* makes look-up and insertion one step; before the lru's */
};

static void *entry_ref(void *value)
{
	struct entry *entry = value;

	atomic_fetch_add(&entry->references, 1);
	return entry;
}

static void entry_unref(void *value)
{
	struct entry *entry = value;

	if (atomic_fetch_sub(&entry->references, 1) != 1)
		return;
	pthread_cond_destroy(&entry->arrived);
	pthread_mutex_destroy(&entry->lock);
	secret_free(entry->token);
	free(entry);
}

static const struct lru_ops entry_ops = {entry_ref, entry_unref};

static struct entry *entry_new(void)
{
	struct entry *entry = xcalloc(1, sizeof(*entry));

	atomic_init(&entry->references, 1);
	pthread_mutex_init(&entry->lock, NULL);
	cond_init(&entry->arrived);
	return entry;
}

struct token_cache *token_cache_new(struct transfer_pool *pool, struct login_memory *logins)
{
	struct token_cache *cache = xcalloc(1, sizeof(*cache));

	cache->pool = pool;
	cache->logins = logins;
	cache->entries = lru_new(CACHE_BYTES, &entry_ops);
	pthread_mutex_init(&cache->lock, NULL);
	return cache;
}

void token_cache_free(struct token_cache *cache)
{
	if (!cache)
		return;
	lru_free(cache->entries);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static struct entry *cache_entry(struct token_cache *cache, const struct token_request *request)
{
	const char *const parts[] = {request->realm, request->service, request->scope};
	char key[FINGERPRINT_SIZE];
	struct entry *entry;

	credential_fingerprint(request->credential, parts, array_size(parts), key);
	pthread_mutex_lock(&cache->lock);
	entry = lru_get(cache->entries, key);
	if (!entry) {
		entry = entry_new();
		lru_put(cache->entries, key, entry, ENTRY_BYTES);
	}
	pthread_mutex_unlock(&cache->lock);
	return entry;
}

static enum status fail_as_before(const struct entry *entry, struct error *error)
{
	if (error)
		*error = entry->last;
	return entry->last.code;
}

/* With the lock held: what is known without asking. *ret_mine: nothing is, and
 * it is the caller's turn to ask. */
static enum status look(struct entry *entry, deadline_ms deadline, bool *ret_mine, char **ret_token,
			struct error *error)
{
	for (;;) {
		int64_t now = clock_monotonic_ms();
		uint64_t answers = entry->answers;

		if (entry->token && now < entry->usable_until_ms) {
			*ret_token = xstrdup(entry->token);
			return BW_OK;
		}
		if (now < entry->denied_until_ms)
			return fail_as_before(entry, error);
		if (!entry->asking) {
			*ret_mine = true;
			return BW_OK;
		}
		while (entry->answers == answers) {
			if (!cond_wait_until(&entry->arrived, &entry->lock, deadline))
				return error_set(error, BW_TIMEOUT,
						 "the deadline passed, waiting for a token");
		}
		if (entry->last.code != BW_OK)
			return fail_as_before(entry, error);
	}
}

/* With the lock held: takes over `token`. */
static void store(struct entry *entry, char *token, int64_t lifetime_ms)
{
	int64_t margin = lifetime_ms / 5 < MARGIN_MS ? lifetime_ms / 5 : MARGIN_MS;

	secret_free(entry->token);
	entry->token = token;
	entry->usable_until_ms = deadline_in(lifetime_ms - margin);
	entry->denied_until_ms = 0;
}

static enum status ask(struct token_cache *cache, struct entry *entry,
		       const struct token_request *request, char **ret_token, struct error *error)
{
	struct error failure = {0};
	int64_t lifetime_ms = 0;
	char *token = NULL;
	enum status status = token_service_ask(cache->pool, cache->logins, request, &token,
					       &lifetime_ms, &failure);

	pthread_mutex_lock(&entry->lock);
	entry->last = failure;
	entry->last.code = status;
	if (status == BW_OK) {
		*ret_token = xstrdup(token);
		store(entry, token, lifetime_ms);
	} else if (status == BW_DENIED && request->credential) {
		int64_t kept_ms =
			failure.retry_after ? failure.retry_after * INT64_C(1000) : DENIAL_KEPT_MS;

		entry->denied_until_ms = deadline_in(kept_ms);
	}
	entry->asking = false;
	entry->answers++;
	pthread_cond_broadcast(&entry->arrived);
	pthread_mutex_unlock(&entry->lock);
	if (status != BW_OK && error)
		*error = failure;
	return status;
}

enum status token_get(struct token_cache *cache, const char *realm, const char *service,
		      const char *scope, const struct credential_config *credential,
		      deadline_ms deadline, char **ret_token, struct error *error)
{
	struct token_request request = {realm, service, scope, credential, deadline};
	struct entry *entry = cache_entry(cache, &request);
	bool mine = false;
	enum status status;

	pthread_mutex_lock(&entry->lock);
	status = look(entry, deadline, &mine, ret_token, error);
	if (mine)
		entry->asking = true;
	pthread_mutex_unlock(&entry->lock);
	if (mine)
		status = ask(cache, entry, &request, ret_token, error);
	entry_unref(entry);
	return status;
}

void token_forget(struct token_cache *cache, const char *realm, const char *service,
		  const char *scope, const struct credential_config *credential, const char *token)
{
	struct token_request request = {realm, service, scope, credential, DEADLINE_NEVER};
	struct entry *entry = cache_entry(cache, &request);

	pthread_mutex_lock(&entry->lock);
	if (entry->token && strcmp(entry->token, token) == 0) {
		secret_free(entry->token);
		entry->token = NULL;
	}
	pthread_mutex_unlock(&entry->lock);
	entry_unref(entry);
}
