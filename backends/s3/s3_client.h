/*
 * Signed requests to one bucket: addresses, signatures, retries, breaker, and what
 * refusals mean. sigv4_transport.c says which requests these are.
 */
#ifndef BACKENDS_S3_S3_CLIENT_H
#define BACKENDS_S3_S3_CLIENT_H

#include "backends/s3/s3_guard.h"
#include "backends/s3/s3_http.h"
#include "backends/s3/s3_secrets.h"
#include "backends/s3/s3_sign.h"

#include <stdatomic.h>

struct s3_options;

#define S3_EXTRA_MAX 6
#define S3_BODY_MAX ((size_t)4 << 20) /* of an answer that is read whole */

struct s3_client {
	struct s3_http *http;
	struct s3_secrets *secrets;
	struct s3_guard guard;
	char *host; /* with the port when it is not the scheme's own */
	char *url; /* scheme and host, no '/' at the end */
	char *base; /* of every path, percent-encoded: "/" or "/bucket/" */
	char *bucket;
	char *region;
	int64_t operation_ms;
	_Atomic int64_t bucket_seen_ms; /* monotonic: when the bucket last proved to be there */
};

struct s3_request {
	const char *what; /* "put": for messages */
	const char *method;
	const char *key; /* NULL: the bucket */
	const char *query; /* percent-encoded, sorted; "" for none */
	struct s3_header extra[S3_EXTRA_MAX]; /* lower-case names */
	size_t extra_count;
	const void *body;
	size_t length;
	const unsigned char *sha256; /* of the body, when it is known */
	bool streams; /* the body of a 2xx answer is read by the caller */
};

struct s3_reply {
	struct s3_answer answer; /* of the last attempt; status 0: there was none */
	struct s3_exchange *exchange; /* when it streams, and BW_OK */
	struct buf body; /* when it does not; buf_release frees it, whatever was returned */
	bool unsure; /* an earlier attempt got no answer, and may have been carried out */
};

enum status s3_client_new(const struct s3_options *options, struct s3_client **ret_client,
			  struct error *error);
void s3_client_free(struct s3_client *client);

/* Asks until there is an answer that counts, the budget or the deadline is used up. A
 * 2xx answer whose body is an <Error> is a failure, and retried. The reply is set,
 * whatever is returned. */
enum status s3_client_ask(struct s3_client *client, const struct s3_request *request,
			  deadline_ms deadline, struct s3_reply *ret_reply, struct error *error);

deadline_ms s3_client_deadline(const struct s3_client *client);

/* The path of a key, percent-encoded. */
void s3_client_path(const struct s3_client *client, const char *key, struct buf *target);

#endif
