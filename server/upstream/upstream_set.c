#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/upstream/upstream_private.h"

#include <stdlib.h>
#include <string.h>

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

/* A host by which an upstream is known: its name or an alias. */
struct host_name {
	UT_hash_handle hh;
	const char *host; /* the configuration's */
	struct upstream *upstream;
};

struct upstream_set {
	atomic_uint references;
	struct config *config;
	struct upstream *upstreams;
	size_t count;
	struct host_name *hosts;
};

static struct upstream_state *inherit(struct upstream_set *previous,
				      const struct upstream_config *config)
{
	struct upstream *upstream = previous ? upstream_set_find(previous, config->name) : NULL;

	if (upstream && upstream_state_fits(upstream->state, config))
		return upstream_state_ref(upstream->state);
	return upstream_state_new(config);
}

static void upstream_init(struct upstream *upstream, const struct upstream_config *config,
			  struct upstream_set *previous)
{
	upstream->config = config;
	upstream->state = inherit(previous, config);
	upstream->anonymous = upstream_state_account(upstream->state, CREDENTIAL_ANONYMOUS);
	upstream->accounts = xcalloc(config->credential_count, sizeof(struct account *));
	for (size_t i = 0; i < config->credential_count; i++) {
		const char *name = credential_name(config->credentials[i].credential);

		upstream->accounts[i] = upstream_state_account(upstream->state, name);
	}
}

/* The first to claim a host has it; the configuration refuses a second one. */
static void add_host(struct upstream_set *set, const char *host, struct upstream *upstream)
{
	struct host_name *entry;

	HASH_FIND_STR(set->hosts, host, entry);
	if (entry)
		return;
	entry = xcalloc(1, sizeof(*entry));
	entry->host = host;
	entry->upstream = upstream;
	HASH_ADD_KEYPTR(hh, set->hosts, entry->host, strlen(entry->host), entry);
}

struct upstream_set *upstream_set_new(struct config *config, struct upstream_set *previous)
{
	struct upstream_set *set = xcalloc(1, sizeof(*set));

	atomic_init(&set->references, 1);
	set->config = config_ref(config);
	set->count = config->proxy.upstream_count;
	set->upstreams = xcalloc(set->count, sizeof(*set->upstreams));
	for (size_t i = 0; i < set->count; i++) {
		upstream_init(&set->upstreams[i], &config->proxy.upstreams[i], previous);
		add_host(set, config->proxy.upstreams[i].name, &set->upstreams[i]);
	}
	for (size_t i = 0; i < set->count; i++) {
		const struct string_list *aliases = &config->proxy.upstreams[i].aliases;

		for (size_t j = 0; j < aliases->count; j++)
			add_host(set, aliases->items[j], &set->upstreams[i]);
	}
	return set;
}

struct upstream_set *upstream_set_ref(struct upstream_set *set)
{
	atomic_fetch_add(&set->references, 1);
	return set;
}

void upstream_set_unref(struct upstream_set *set)
{
	struct host_name *entry, *next;

	if (!set || atomic_fetch_sub(&set->references, 1) != 1)
		return;
	HASH_ITER (hh, set->hosts, entry, next) {
		HASH_DEL(set->hosts, entry);
		free(entry);
	}
	for (size_t i = 0; i < set->count; i++) {
		upstream_state_unref(set->upstreams[i].state);
		free(set->upstreams[i].accounts);
	}
	free(set->upstreams);
	config_unref(set->config);
	free(set);
}

struct upstream *upstream_set_find(struct upstream_set *set, const char *host)
{
	struct host_name *entry;

	HASH_FIND_STR(set->hosts, host, entry);
	return entry ? entry->upstream : NULL;
}

const struct upstream_config *upstream_configuration(const struct upstream *upstream)
{
	return upstream->config;
}

static bool matches_any(const struct string_list *patterns, const char *repository)
{
	for (size_t i = 0; i < patterns->count; i++) {
		if (str_glob_match(patterns->items[i], repository))
			return true;
	}
	return false;
}

bool upstream_allows(const struct upstream *upstream, const char *repository)
{
	return matches_any(&upstream->config->allow, repository) &&
	       !matches_any(&upstream->config->deny, repository);
}

struct account *upstream_account(const struct upstream *upstream, const char *repository,
				 const struct credential_config **ret_credential)
{
	const struct upstream_config *config = upstream->config;
	struct account *account = upstream->anonymous;
	size_t longest = 0;

	*ret_credential = NULL;
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct credential_rule *rule = &config->credentials[i];
		size_t length = strlen(rule->match);

		if (length <= longest || !str_glob_match(rule->match, repository))
			continue;
		longest = length;
		account = upstream->accounts[i];
		*ret_credential = rule->credential;
	}
	return account;
}

const char *upstream_credential_name(const struct upstream *upstream, const char *repository)
{
	const struct credential_config *credential;

	return upstream_account(upstream, repository, &credential)->name;
}

unsigned upstream_max_connections(const struct upstream *upstream)
{
	return upstream->config->max_connections;
}

void upstream_set_tell(struct upstream_set *set, upstream_news_fn fn, void *context)
{
	for (size_t i = 0; i < set->count; i++)
		upstream_state_tell(set->upstreams[i].state, fn, context);
}

void upstream_set_heed(struct upstream_set *set, const struct upstream_news *news)
{
	struct upstream *upstream = upstream_set_find(set, news->upstream);

	if (upstream)
		upstream_state_heed(upstream->state, news);
}
