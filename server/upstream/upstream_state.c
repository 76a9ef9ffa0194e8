#include "server/base/memory.h"
#include "server/upstream/upstream_private.h"

#include <stdlib.h>
#include <string.h>

static void mirror_init(struct mirror *mirror, const char *url)
{
	size_t length = strlen(url);

	while (length && url[length - 1] == '/')
		length--;
	mirror->url = xstrndup(url, length);
	/* the configuration was checked; one that has no origin meets no realm */
	if (!url_origin(url, mirror->origin, sizeof(mirror->origin)))
		mirror->origin[0] = '\0';
	pthread_mutex_init(&mirror->lock, NULL);
}

static void mirror_release(struct mirror *mirror)
{
	free(mirror->url);
	free(mirror->realm);
	free(mirror->service);
	pthread_mutex_destroy(&mirror->lock);
}

static struct transfer_options options_of(const struct upstream_config *config)
{
	return (struct transfer_options){
		.ca_file = config->tls.ca_file ? config->tls.ca_file : "",
		.insecure_skip_verify = config->tls.insecure_skip_verify,
		.connect_ms = config->timeouts.connect_ms,
		.first_byte_ms = config->timeouts.first_byte_ms,
		.stall_ms = config->timeouts.stall_ms,
		.max_idle = config->max_connections,
	};
}

struct upstream_state *upstream_state_new(const struct upstream_config *config)
{
	struct upstream_state *state = xcalloc(1, sizeof(*state));

	atomic_init(&state->references, 1);
	state->name = xstrdup(config->name);
	state->options = options_of(config);
	state->options.ca_file = xstrdup(state->options.ca_file);
	state->pool = transfer_pool_new(&state->options);
	state->logins = login_memory_new();
	state->tokens = token_cache_new(state->pool, state->logins);
	state->mirror_count = config->urls.count;
	state->mirrors = xcalloc(state->mirror_count, sizeof(*state->mirrors));
	for (size_t i = 0; i < state->mirror_count; i++)
		mirror_init(&state->mirrors[i], config->urls.items[i]);
	pthread_mutex_init(&state->lock, NULL);
	return state;
}

struct upstream_state *upstream_state_ref(struct upstream_state *state)
{
	atomic_fetch_add(&state->references, 1);
	return state;
}

static void account_free(struct account *account, size_t mirror_count)
{
	for (size_t i = 0; i < mirror_count; i++) {
		breaker_release(&account->standings[i].breaker);
		pthread_mutex_destroy(&account->standings[i].lock);
	}
	free(account->name);
	free(account);
}

void upstream_state_unref(struct upstream_state *state)
{
	if (!state || atomic_fetch_sub(&state->references, 1) != 1)
		return;
	while (state->accounts) {
		struct account *account = state->accounts;

		state->accounts = account->next;
		account_free(account, state->mirror_count);
	}
	for (size_t i = 0; i < state->mirror_count; i++)
		mirror_release(&state->mirrors[i]);
	free(state->mirrors);
	token_cache_free(state->tokens);
	login_memory_free(state->logins);
	transfer_pool_free(state->pool);
	pthread_mutex_destroy(&state->lock);
	free((char *)state->options.ca_file);
	free(state->name);
	free(state);
}

static bool same_urls(const struct upstream_state *state, const struct string_list *urls)
{
	if (state->mirror_count != urls->count)
		return false;
	for (size_t i = 0; i < urls->count; i++) {
		const char *url = state->mirrors[i].url;
		size_t length = strlen(url);

		if (strncmp(url, urls->items[i], length) != 0 ||
		    urls->items[i][length + strspn(urls->items[i] + length, "/")] != '\0')
			return false;
	}
	return true;
}

bool upstream_state_fits(const struct upstream_state *state, const struct upstream_config *config)
{
	struct transfer_options wanted = options_of(config);
	const struct transfer_options *options = &state->options;

	return strcmp(state->name, config->name) == 0 && same_urls(state, &config->urls) &&
	       strcmp(options->ca_file, wanted.ca_file) == 0 &&
	       options->insecure_skip_verify == wanted.insecure_skip_verify &&
	       options->connect_ms == wanted.connect_ms &&
	       options->first_byte_ms == wanted.first_byte_ms &&
	       options->stall_ms == wanted.stall_ms && options->max_idle == wanted.max_idle;
}

static struct account *account_new(const char *name, size_t mirror_count)
{
	struct account *account =
		xcalloc(1, sizeof(*account) + mirror_count * sizeof(account->standings[0]));

	account->name = xstrdup(name);
	for (size_t i = 0; i < mirror_count; i++) {
		breaker_init(&account->standings[i].breaker);
		pthread_mutex_init(&account->standings[i].lock, NULL);
	}
	return account;
}

struct account *upstream_state_account(struct upstream_state *state, const char *name)
{
	struct account *account;

	pthread_mutex_lock(&state->lock);
	for (account = state->accounts; account; account = account->next) {
		if (strcmp(account->name, name) == 0)
			break;
	}
	if (!account) {
		account = account_new(name, state->mirror_count);
		account->next = state->accounts;
		state->accounts = account;
	}
	pthread_mutex_unlock(&state->lock);
	return account;
}

bool upstream_state_is_paused(struct upstream_state *state)
{
	bool paused = false;

	pthread_mutex_lock(&state->lock);
	for (struct account *account = state->accounts; account && !paused;
	     account = account->next) {
		paused = true;
		for (size_t i = 0; i < state->mirror_count && paused; i++)
			paused = breaker_is_open(&account->standings[i].breaker);
	}
	pthread_mutex_unlock(&state->lock);
	return paused;
}
