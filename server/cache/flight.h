/*
 * One question to an upstream at a time: whoever asks what somebody is asking
 * already waits for that answer and shares it.
 *
 * The one who leads runs the question on its own thread and always to its end,
 * whatever became of its client. Those who wait have a deadline.
 */
#ifndef CACHE_FLIGHT_H
#define CACHE_FLIGHT_H

#include "server/base/clock.h"
#include "server/base/error.h"
#include "server/cache/manifest_view.h"
#include "server/cache/verdict.h"

struct flight_table;

/* The answer to a question about a manifest. */
struct flight_answer {
	enum status status;
	struct error error; /* when status is not BW_OK */
	struct manifest_view *view; /* when it is; a reference of the holder's */
	enum cache_verdict verdict;
};

typedef void (*flight_fn)(void *context, struct flight_answer *ret_answer);

struct flight_table *flight_table_new(void);
void flight_table_free(struct flight_table *table); /* no flight may be under way */

/* Answers through `lead(context)`, or by somebody else's answer to the same
 * key. BW_TIMEOUT in the answer when that took longer than `deadline`. */
void flight_ask(struct flight_table *table, const char *key, deadline_ms deadline, flight_fn lead,
		void *context, struct flight_answer *ret_answer);

#endif
