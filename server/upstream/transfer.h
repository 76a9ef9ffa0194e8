/*
 * One HTTP exchange on libcurl: a request line, headers, a body that streams
 * into a callback, on the caller's thread. No redirect is followed, no
 * credential is known, and nothing is retried here, but for what libcurl does
 * when a kept connection turns out to be closed; this is the only file of the
 * folder that talks to libcurl's easy interface. Proxies are those of the
 * environment (https_proxy, no_proxy).
 *
 * Handles are kept for reuse by a pool: a connection opened with one
 * credential's name is never used for another's (libcurl has confused
 * authenticated connections), and TLS is verified on every handle. The process
 * ignores SIGPIPE: libcurl is told to leave signals alone.
 */
#ifndef UPSTREAM_TRANSFER_H
#define UPSTREAM_TRANSFER_H

#include "server/base/clock.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transfer_pool;

struct transfer_options {
	const char *ca_file; /* trusted besides the system's folder; "" or NULL: none */
	bool insecure_skip_verify;
	int64_t connect_ms; /* name look-up, TCP and TLS together */
	int64_t first_byte_ms; /* from the request sent to the status line */
	int64_t stall_ms; /* no body byte for this long */
	unsigned max_idle; /* handles kept */
	bool direct; /* through no proxy, whatever the environment says */
};

struct transfer_pool *transfer_pool_new(const struct transfer_options *options);
void transfer_pool_free(struct transfer_pool *pool); /* no transfer may be running */

enum transfer_method { TRANSFER_GET, TRANSFER_HEAD };
const char *transfer_method_name(enum transfer_method method); /* "GET" */

#define TRANSFER_MAX_CHALLENGES 4

struct transfer_headers {
	char *content_type; /* each NULL when absent; last value wins */
	char *docker_content_digest;
	char *location;
	char *link;
	char *content_range;
	char *retry_after;
	char *ratelimit_remaining;
	char *replica_answer; /* X-Breakwater-Answer (server/cluster/request.h) */
	char *www_authenticate[TRANSFER_MAX_CHALLENGES]; /* in order; NULL after the last */
	bool has_content_length;
	uint64_t content_length;
};

struct transfer_response {
	int status; /* 100..599; 0: none came */
	struct transfer_headers headers;
	uint64_t body_length; /* bytes handed to on_body */
};
void transfer_response_release(struct transfer_response *response);

/* Seconds to wait after a 429 or 503, from Retry-After in either of its forms
 * (RFC 9110, 10.2.3): 1 to 3600, or 5 when there is none that can be read. */
int transfer_retry_after(const struct transfer_response *response);

struct transfer_request {
	enum transfer_method method;
	const char *url;
	const char *connection_key; /* handles are shared only within one key */
	const char *authorization; /* header value or NULL; secret */
	const char *accept; /* or NULL */
	const char *range; /* "bytes=5-" or NULL */
	bool redirected; /* the peer chose the URL: link-local addresses are refused */
	deadline_ms deadline; /* absolute end, besides the options' limits */
	const _Atomic bool *cancelled; /* becomes true: end soon with BW_CANCELLED; or NULL */

	/* Called once, when the status and all headers are there, before any body
	 * byte; false ends the exchange with BW_OK (the body is not wanted). May
	 * be NULL. */
	bool (*on_headers)(void *context, const struct transfer_response *response);
	/* Body bytes as they come. False ends the exchange with BW_CANCELLED. NULL
	 * throws the body away. */
	bool (*on_body)(void *context, const void *bytes, size_t length);
	void *context;
};

/* BW_OK: an HTTP response came, whatever its status, and its body was received
 * whole (as long as Content-Length or chunking said) or was not wanted.
 * BW_TIMEOUT: connect, first byte, stall or deadline, and the message says
 * which. BW_UNREACHABLE: DNS, refused, reset, TLS, ended early, nonsense (more
 * than 100 header lines or 64 KiB of them, control bytes, two lengths).
 * BW_CANCELLED. On failure *ret_response may still hold status and headers that
 * came; release it in every case. Messages name the URL without its query. */
enum status transfer_run(struct transfer_pool *pool, const struct transfer_request *request,
			 struct transfer_response *ret_response, struct error *error);

#endif
