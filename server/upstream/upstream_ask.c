#include "server/base/log.h"
#include "server/base/metrics.h"
#include "server/upstream/upstream_private.h"

#include <stdio.h>
#include <string.h>

/* Beside connecting and waiting: what a small body may take to come. */
#define SMALL_BODY_MS 60000

int64_t upstream_small_limit_ms(const struct upstream *upstream)
{
	const struct upstream_config *config = upstream->config;

	return config->timeouts.connect_ms + config->timeouts.first_byte_ms + SMALL_BODY_MS;
}

static void append_wait(struct error *error, const char *what, int64_t seconds)
{
	size_t length = strlen(error->message);

	snprintf(error->message + length, sizeof(error->message) - length, "; %s %d s", what,
		 (int)seconds);
}

/* The breaker is open: says why it was opened, and until when. */
static enum status refuse(struct standing *standing, int64_t wait_ms, struct error *error)
{
	int seconds = (int)((wait_ms + 999) / 1000);

	pthread_mutex_lock(&standing->lock);
	*error = standing->last;
	pthread_mutex_unlock(&standing->lock);
	error->code = BW_UNAVAILABLE;
	error->retry_after = seconds;
	append_wait(error, "not asked for another", seconds);
	return BW_UNAVAILABLE;
}

static void note_reason(struct standing *standing, const struct error *failure)
{
	pthread_mutex_lock(&standing->lock);
	standing->last = *failure;
	pthread_mutex_unlock(&standing->lock);
}

/* Does it say that the mirror is ill? A 4xx that we make nothing of does not. */
static bool is_illness(enum status status, const struct error *failure)
{
	return (status == BW_UNREACHABLE || status == BW_TIMEOUT) &&
	       failure->http_status / 100 != 4;
}

/* Once when it begins and once when it ends, however many ask meanwhile. */
static void log_turn(const struct ask *ask, size_t index, enum log_level level, const char *message,
		     const struct error *failure)
{
	log_event(level, message, LOG_S("upstream", ask->upstream->state->name),
		  LOG_S("credential", ask->account->name),
		  LOG_S("url", ask->upstream->state->mirrors[index].url),
		  LOG_S("err.message", failure ? failure->message : NULL));
}

static void report(const struct ask *ask, size_t index, enum status status, bool answered,
		   struct error *failure)
{
	struct standing *standing = &ask->account->standings[index];

	if (status == BW_UNAVAILABLE && failure->http_status == 429) {
		int64_t pause_ms = failure->retry_after * INT64_C(1000);

		note_reason(standing, failure);
		append_wait(failure, "retry in", failure->retry_after);
		if (breaker_report_throttled(&standing->breaker, pause_ms))
			log_turn(ask, index, LOG_WARNING, "upstream throttles us", failure);
	} else if (status != BW_OK && is_illness(status, failure)) {
		note_reason(standing, failure);
		if (breaker_report_failure(&standing->breaker))
			log_turn(ask, index, LOG_WARNING,
				 "upstream keeps failing; asked only now and then", failure);
	} else if (answered) {
		if (breaker_report_success(&standing->breaker))
			log_turn(ask, index, LOG_INFO, "upstream answers again", NULL);
	} else {
		breaker_report_nothing(&standing->breaker);
	}
}

static enum status ask_mirror(struct ask *ask, size_t index, struct error *error)
{
	struct upstream_state *state = ask->upstream->state;
	struct standing *standing = &ask->account->standings[index];
	bool answered = false;
	int64_t wait_ms;
	enum status status;

	if (!breaker_admit(&standing->breaker, &wait_ms))
		return refuse(standing, wait_ms, error);
	status = upstream_exchange(ask, &state->mirrors[index], &answered, error);
	report(ask, index, status, answered, error);
	metric_set(M_UPSTREAM_BREAKER, upstream_state_is_paused(state) ? 1 : 0, state->name);
	return status;
}

/* What the mirrors so far amount to (upstream.h: outcomes). A failure that can
 * hide the content outranks an answer, and an answer that disagrees with
 * "absent" outranks it; but the silence of one mirror is made good by a later
 * one that answers. */
struct verdict {
	struct error answer; /* of the highest rank */
	struct error last;
};

enum { RANK_NONE, RANK_SILENCE, RANK_ABSENT, RANK_DENIED, RANK_TELLING };

static int rank_of(enum status status)
{
	switch (status) {
	case BW_OK:
		return RANK_NONE;
	case BW_UNREACHABLE:
	case BW_TIMEOUT:
		return RANK_SILENCE;
	case BW_ABSENT:
		return RANK_ABSENT;
	case BW_DENIED:
		return RANK_DENIED;
	default:
		return RANK_TELLING;
	}
}

static void verdict_add(struct verdict *verdict, const struct error *failure)
{
	if (rank_of(failure->code) >= rank_of(verdict->answer.code))
		verdict->answer = *failure;
	verdict->last = *failure;
}

static const struct error *verdict_of(const struct verdict *verdict)
{
	if (rank_of(verdict->last.code) == RANK_SILENCE &&
	    rank_of(verdict->answer.code) != RANK_TELLING)
		return &verdict->last;
	return &verdict->answer;
}

enum status upstream_ask(struct ask *ask, struct error *error)
{
	struct verdict verdict = {0};
	const struct error *failure;

	ask->account = upstream_account(ask->upstream, ask->repository, &ask->credential);
	for (size_t i = 0; i < ask->upstream->state->mirror_count; i++) {
		struct error one = {0};
		enum status status = ask_mirror(ask, i, &one);

		if (status == BW_OK)
			return BW_OK;
		verdict_add(&verdict, &one);
		if (status == BW_CANCELLED || ask->committed) {
			verdict.answer = verdict.last;
			break;
		}
	}
	failure = verdict_of(&verdict);
	if (error)
		*error = *failure;
	return failure->code;
}

static bool collect_headers(struct ask *ask, const struct transfer_response *response)
{
	struct collecting_ask *collecting = (struct collecting_ask *)ask;
	const struct transfer_headers *headers = &response->headers;

	buf_reset(&collecting->body);
	if (response->status != 200) {
		error_set(&ask->refusal, BW_UNREACHABLE, "answered %d unasked", response->status);
		return false;
	}
	if (headers->has_content_length && headers->content_length > collecting->body.max) {
		error_set(&ask->refusal, BW_TOO_LARGE, "its reply is over %zu bytes",
			  collecting->body.max);
		return false;
	}
	return true;
}

static bool collect_body(struct ask *ask, const void *bytes, size_t length)
{
	struct collecting_ask *collecting = (struct collecting_ask *)ask;

	buf_append(&collecting->body, bytes, length);
	if (collecting->body.overflow)
		error_set(&ask->refusal, BW_TOO_LARGE, "its reply is over %zu bytes",
			  collecting->body.max);
	return !collecting->body.overflow;
}

void collecting_ask_init(struct collecting_ask *collecting, size_t max)
{
	*collecting = (struct collecting_ask){
		.ask.on_headers = collect_headers,
		.ask.on_body = collect_body,
		.body = BUF_INIT(max),
	};
}

void collecting_ask_release(struct collecting_ask *collecting)
{
	buf_release(&collecting->body);
}
