/*
 * One request through libs3, with what libs3 lacks: deadlines, retries, a breaker, and
 * a connection that is kept.
 *
 * Each request runs in a request context of libs3's (a curl multi handle) that the
 * calling thread drives. A context that has finished its request is kept, because the
 * connection is in it; one that is given up in the middle is destroyed.
 */
#ifndef BACKENDS_S3_LIBS3_LIBS3_INTERNAL_H
#define BACKENDS_S3_LIBS3_LIBS3_INTERNAL_H

#include "backends/s3/libs3/libs3_store.h"
#include "backends/s3/s3_failure.h"
#include "backends/s3/s3_guard.h"
#include "backends/s3/s3_secrets.h"
#include "server/base/buf.h"
#include "server/base/memory.h"

#include <libs3.h>
#include <pthread.h>
#include <stdatomic.h>

#define LIBS3_IDLE_MAX 16u
#define LIBS3_WRITER_SIZE 33

struct libs3_claim;

struct libs3_transport {
	struct s3_transport base;
	char *host; /* with its port */
	char *bucket;
	S3UriStyle style;
	struct s3_secrets *secrets;
	struct s3_guard guard;
	int64_t first_byte_ms;
	int64_t stall_ms;
	int64_t operation_ms;
	_Atomic int64_t bucket_seen_ms; /* monotonic: when the bucket last proved to be there */

	pthread_mutex_t lock; /* covers what follows; leaf, never held over I/O */
	S3RequestContext *idle[LIBS3_IDLE_MAX];
	unsigned idle_count;
	struct libs3_claim *claims; /* keys that somebody is writing */
	pthread_cond_t claim_over;
};

static inline struct libs3_transport *libs3_of(struct s3_transport *transport)
{
	return container_of(transport, struct libs3_transport, base);
}

/* A request and its answer. The caller sets what is above the line. */
struct libs3_call {
	const char *what; /* "PUT": for messages */
	const char *key; /* NULL: the bucket */
	/* Hands the request to libs3, which calls back with the call as its data. */
	void (*start)(struct libs3_call *call, const S3BucketContext *bucket,
		      S3RequestContext *context);
	void *context; /* start's and the callbacks' own */
	bool streams; /* ends with the head of a success; the rest is the caller's */

	/* ---- */
	bool done;
	bool answered; /* a head of a success has come */
	S3Status status; /* when done */
	char message[160]; /* what the server said about it */
	int64_t moved_at_ms; /* monotonic: when something last came or went */
	struct s3_head head;
	uint64_t content_length;
	char writer[LIBS3_WRITER_SIZE]; /* "" when the object has no such mark */
};

/* For handlers: both take the call as their data. */
extern const S3ResponseHandler libs3_response_handler;
static inline void libs3_moved(struct libs3_call *call)
{
	call->moved_at_ms = clock_monotonic_ms();
}

/* Runs the call until it is done or its deadline passes, and again when that makes
 * sense. For a call that streams, *ret_context is its context when BW_OK; NULL else. */
enum status libs3_ask(struct libs3_transport *transport, struct libs3_call *call,
		      S3RequestContext **ret_context, struct error *error);

/* One step of a call under way: waits until something happens, `until` at most. */
void libs3_step(S3RequestContext *context, deadline_ms until);

/* The call is done: its context can be used again. Else it is given up. */
void libs3_context_put(struct libs3_transport *transport, const struct libs3_call *call,
		       S3RequestContext *context);

/* What a status means, and the sentence about it. */
struct s3_verdict libs3_judge(S3Status status);
enum status libs3_tell(const struct libs3_transport *transport, const struct libs3_call *call,
		       const struct s3_verdict *verdict, struct error *error);

enum status libs3_head(struct s3_transport *transport, const char *key, struct s3_head *ret_head,
		       struct error *error);
enum status libs3_get(struct s3_transport *transport, const struct s3_get *get,
		      struct s3_head *ret_head, struct s3_body **ret_body, struct error *error);
enum status libs3_put(struct s3_transport *transport, const struct s3_put *put,
		      struct error *error);
/* To be said before a key is removed: see libs3_put.c. */
void libs3_note_removal(struct libs3_transport *transport, const char *key);
enum status libs3_list(struct s3_transport *transport, const char *prefix, const char *start_after,
		       unsigned max, s3_list_fn fn, void *context, bool *ret_more,
		       struct error *error);

#endif
