#include "server/upstream/upstream_news.h"

#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/upstream/upstream_private.h"

#include <string.h>

static void copy_reason(struct standing *standing, char reason[UPSTREAM_NEWS_REASON_SIZE])
{
	pthread_mutex_lock(&standing->lock);
	str_copy(reason, UPSTREAM_NEWS_REASON_SIZE, standing->last.message);
	pthread_mutex_unlock(&standing->lock);
	for (char *c = reason; *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
}

static bool is_worth_telling(const struct breaker_verdict *verdict, bool has_remaining)
{
	return verdict->ever || has_remaining;
}

static void tell_account(const struct upstream_state *state, struct account *account,
			 upstream_news_fn fn, void *context)
{
	int64_t read_at = atomic_load(&account->remaining_at_ms);

	for (size_t i = 0; i < state->mirror_count; i++) {
		struct standing *standing = &account->standings[i];
		struct upstream_news news = {.mirror = (unsigned)i};
		struct breaker_verdict verdict;

		breaker_tell(&standing->breaker, &verdict);
		/* the reading is of the account, so it goes with its first mirror */
		news.has_remaining = i == 0 && read_at && !atomic_load(&account->remaining_heeded);
		if (!is_worth_telling(&verdict, news.has_remaining))
			continue;
		str_copy(news.upstream, sizeof(news.upstream), state->name);
		str_copy(news.credential, sizeof(news.credential), account->name);
		news.open_ms = verdict.open_ms;
		news.changed_ago_ms = verdict.changed_ago_ms;
		news.throttled_ms = verdict.throttled_ms;
		if (news.has_remaining) {
			news.remaining = atomic_load(&account->remaining);
			news.remaining_ago_ms = clock_monotonic_ms() - read_at;
		}
		if (news.open_ms || news.throttled_ms)
			copy_reason(standing, news.reason);
		fn(context, &news);
	}
}

void upstream_state_tell(struct upstream_state *state, upstream_news_fn fn, void *context)
{
	struct account *account;

	/* accounts are added at the head and stay: the lock is for the head alone */
	pthread_mutex_lock(&state->lock);
	account = state->accounts;
	pthread_mutex_unlock(&state->lock);
	for (; account; account = account->next)
		tell_account(state, account, fn, context);
}

void upstream_note_remaining(const struct upstream_state *state, struct account *account,
			     uint64_t remaining, int64_t read_at_ms, bool heeded)
{
	atomic_store(&account->remaining, remaining);
	atomic_store(&account->remaining_heeded, heeded);
	atomic_store(&account->remaining_at_ms, read_at_ms);
	metric_set(M_UPSTREAM_RATELIMIT, remaining, state->name, account->name);
}

static void heed_remaining(const struct upstream_state *state, struct account *account,
			   const struct upstream_news *news)
{
	int64_t read_at = clock_monotonic_ms() - news->remaining_ago_ms;

	if (news->has_remaining && read_at > atomic_load(&account->remaining_at_ms))
		upstream_note_remaining(state, account, news->remaining, read_at, true);
}

static void heed_reason(struct standing *standing, const struct upstream_news *news)
{
	struct error reason = {.code = BW_UNAVAILABLE};

	str_copy(reason.message, sizeof(reason.message),
		 news->reason[0] ? news->reason : "another replica was refused there");
	pthread_mutex_lock(&standing->lock);
	standing->last = reason;
	pthread_mutex_unlock(&standing->lock);
}

void upstream_state_heed(struct upstream_state *state, const struct upstream_news *news)
{
	const struct breaker_verdict verdict = {
		.open_ms = news->open_ms,
		.changed_ago_ms = news->changed_ago_ms,
		.throttled_ms = news->throttled_ms,
	};
	struct account *account;
	struct standing *standing;

	pthread_mutex_lock(&state->lock);
	for (account = state->accounts; account; account = account->next) {
		if (strcmp(account->name, news->credential) == 0)
			break;
	}
	pthread_mutex_unlock(&state->lock);
	if (!account || news->mirror >= state->mirror_count)
		return;
	standing = &account->standings[news->mirror];
	heed_remaining(state, account, news);
	if (breaker_heed(&standing->breaker, &verdict))
		heed_reason(standing, news);
	metric_set(M_UPSTREAM_BREAKER, upstream_state_is_paused(state) ? 1 : 0, state->name);
}
