#include "backends/s3/libs3/libs3_internal.h"
#include "backends/s3/s3_attempts.h"
#include "server/base/str.h"

#include <stdio.h>
#include <string.h>
#include <sys/select.h>

#define STEP_MS 100 /* how often deadlines are looked at */
#define BLIND_STEP_MS 5 /* where select() cannot see the descriptor */
#define META_SIZE "breakwater-size"
#define META_WRITER "breakwater-writer"

/* libs3 writes the date with gmtime(), whose memory all threads share. No I/O happens
 * under it: with a context, requests are only composed. */
static pthread_mutex_t compose_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- callbacks ---- */

static S3Status take_head(const S3ResponseProperties *properties, void *data)
{
	struct libs3_call *call = data;

	libs3_moved(call);
	call->answered = true;
	call->content_length = properties->contentLength;
	call->head = (struct s3_head){.size = properties->contentLength,
				      .stored_at = properties->lastModified * 1000};
	if (properties->eTag)
		str_copy(call->head.etag, sizeof(call->head.etag), properties->eTag);
	for (int i = 0; i < properties->metaDataCount; i++) {
		const S3NameValue *meta = &properties->metaData[i];

		if (strcmp(meta->name, META_WRITER) == 0)
			str_copy(call->writer, sizeof(call->writer), meta->value);
		if (strcmp(meta->name, META_SIZE) == 0)
			call->head.is_record = str_parse_u64(meta->value, strlen(meta->value),
							     &call->head.record_size);
	}
	return S3StatusOK;
}

static void take_end(S3Status status, const S3ErrorDetails *details, void *data)
{
	struct libs3_call *call = data;

	call->done = true;
	call->status = status;
	if (details && details->message)
		str_copy(call->message, sizeof(call->message), details->message);
}

const S3ResponseHandler libs3_response_handler = {take_head, take_end};

/* ---- contexts ---- */

static S3RequestContext *context_get(struct libs3_transport *transport)
{
	S3RequestContext *context = NULL;

	pthread_mutex_lock(&transport->lock);
	if (transport->idle_count)
		context = transport->idle[--transport->idle_count];
	pthread_mutex_unlock(&transport->lock);
	if (!context && S3_create_request_context(&context) != S3StatusOK)
		return NULL;
	return context;
}

void libs3_context_put(struct libs3_transport *transport, const struct libs3_call *call,
		       S3RequestContext *context)
{
	bool kept = false;

	if (call->done) {
		pthread_mutex_lock(&transport->lock);
		kept = transport->idle_count < LIBS3_IDLE_MAX;
		if (kept)
			transport->idle[transport->idle_count++] = context;
		pthread_mutex_unlock(&transport->lock);
	}
	if (!kept)
		S3_destroy_request_context(context);
}

static void wait_for_something(S3RequestContext *context, int64_t ms)
{
	int64_t wish = S3_get_request_context_timeout(context);
	fd_set readable;
	fd_set writable;
	fd_set special;
	struct timeval wait;
	int last = -1;

	FD_ZERO(&readable);
	FD_ZERO(&writable);
	FD_ZERO(&special);
	S3_get_request_context_fdsets(context, &readable, &writable, &special, &last);
	if (wish >= 0 && wish < ms)
		ms = wish;
	if (last < 0 && ms > BLIND_STEP_MS)
		ms = BLIND_STEP_MS;
	wait = (struct timeval){ms / 1000, ms % 1000 * 1000};
	select(last + 1, &readable, &writable, &special, &wait);
}

void libs3_step(S3RequestContext *context, deadline_ms until)
{
	int64_t left = deadline_left_ms(until);
	int running;

	wait_for_something(context, left < STEP_MS ? left : STEP_MS);
	S3_runonce_request_context(context, &running);
}

/* ---- one attempt ---- */

static bool begin(struct libs3_transport *transport, struct libs3_call *call,
		  const struct s3_secret *secret, S3RequestContext *context)
{
	S3BucketContext bucket = {
		.hostName = transport->host,
		.bucketName = transport->bucket,
		.protocol = S3ProtocolHTTP,
		.uriStyle = transport->style,
		.accessKeyId = secret->access_key,
		.secretAccessKey = secret->secret_key,
	};

	pthread_mutex_lock(&compose_lock);
	call->start(call, &bucket, context);
	pthread_mutex_unlock(&compose_lock);
	return !call->done;
}

/* False: the deadline passed, or nothing came or went for too long. */
static bool run(struct libs3_transport *transport, struct libs3_call *call,
		S3RequestContext *context, deadline_ms deadline)
{
	int running;

	S3_runonce_request_context(context, &running);
	while (!call->done && !(call->streams && call->answered)) {
		deadline_ms until =
			deadline_earlier(deadline, call->moved_at_ms + transport->first_byte_ms);

		if (deadline_passed(until))
			return false;
		libs3_step(context, until);
	}
	return true;
}

static struct s3_verdict try_once(struct libs3_transport *transport, struct libs3_call *call,
				  const struct s3_secret *secret, deadline_ms deadline,
				  S3RequestContext **ret_context, struct error *error)
{
	struct s3_verdict verdict = {BW_TIMEOUT, S3_TIMED_OUT, false, ""};
	S3RequestContext *context = context_get(transport);
	bool in_time = true;

	call->done = call->answered = false;
	call->message[0] = call->writer[0] = '\0';
	libs3_moved(call);
	if (!context) {
		verdict = libs3_judge(S3StatusOutOfMemory);
	} else {
		if (begin(transport, call, secret, context))
			in_time = run(transport, call, context, deadline);
		if (in_time)
			verdict = libs3_judge(call->done ? call->status : S3StatusOK);
		if (ret_context && verdict.status == BW_OK && !call->done)
			*ret_context = context;
		else
			libs3_context_put(transport, call, context);
	}
	if (verdict.status)
		libs3_tell(transport, call, &verdict, error);
	return verdict;
}

/* ---- as often as it takes ---- */

struct asking {
	struct libs3_transport *transport;
	struct libs3_call *call;
	deadline_ms deadline;
	S3RequestContext **ret_context;
};

static struct s3_verdict attempt(void *context, const struct s3_secret *secret,
				 int *ret_retry_after, struct error *error)
{
	struct asking *asking = context;

	(void)ret_retry_after; /* libs3 does not tell */
	return try_once(asking->transport, asking->call, secret, asking->deadline,
			asking->ret_context, error);
}

enum status libs3_ask(struct libs3_transport *transport, struct libs3_call *call,
		      S3RequestContext **ret_context, struct error *error)
{
	deadline_ms deadline = deadline_in(transport->operation_ms);
	struct asking asking = {transport, call, deadline, ret_context};
	const struct s3_attempts attempts = {
		.guard = &transport->guard,
		.secrets = transport->secrets,
		.where = transport->host,
		.deadline = deadline,
		.is_put = strcmp(call->what, "PUT") == 0,
		.attempt = attempt,
		.context = &asking,
	};
	enum status status = s3_attempts_make(&attempts, error);

	if (status == BW_OK)
		transport->bucket_seen_ms = clock_monotonic_ms();
	return status;
}
