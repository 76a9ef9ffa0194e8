#include "backends/s3/s3_http.h"

#include "backends/s3/s3_answer.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define IDLE_MAX 32
/* A changed DNS record, CA file or balancer is noticed without a restart. */
#define CONNECTION_IDLE_S 60L
#define CONNECTION_LIFE_S 300L
#define CA_FILE_KEPT_S 60L
#define RECEIVE_BUFFER (256L << 10) /* what libcurl hands over at most at once */
#define SEND_BUFFER (512L << 10)
#define HEADERS_MAX ((size_t)64 << 10)
#define POLL_MAX_MS 1000
#define NOT_TRUSTED \
	"storage.s3.caFile must hold the certificate of its issuer, and storage.s3.endpoint " \
	"be a name in the store's certificate"

/* A handle with the connection it keeps. */
struct connection {
	SLIST_ENTRY(connection) entry;
	CURLM *multi;
	CURL *easy;
};
SLIST_HEAD(connections, connection);

struct s3_http {
	struct s3_http_options options; /* ca_file is ours */
	pthread_mutex_t lock; /* covers the two below; leaf */
	struct connections idle; /* most recently used first */
	unsigned idle_count;
};

enum phase { CONNECTING, SENDING, WAITING, RECEIVING, DONE };

struct s3_exchange {
	struct s3_http *http;
	struct connection *connection;
	enum phase phase;
	CURLcode code; /* when DONE */
	struct s3_answer answer;
	bool head_complete;
	bool is_head_request;
	uint64_t to_send;
	uint64_t sent;
	uint64_t received; /* of the body */
	size_t header_bytes;
	int64_t last_ms; /* of the phase's last byte, or its beginning */
	char *target; /* where the reader wants its bytes */
	size_t target_left;
	bool paused;
	char *spill; /* what the reader had no room for; RECEIVE_BUFFER of it, or NULL */
	size_t spill_at;
	size_t spill_length;
	char curl_error[CURL_ERROR_SIZE];
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;

static void global_init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
}

struct s3_http *s3_http_new(const struct s3_http_options *options)
{
	struct s3_http *http = xcalloc(1, sizeof(*http));

	pthread_once(&global_once, global_init);
	http->options = *options;
	http->options.ca_file = xstrdup(options->ca_file ? options->ca_file : "");
	pthread_mutex_init(&http->lock, NULL);
	SLIST_INIT(&http->idle);
	return http;
}

static void connection_free(struct connection *connection)
{
	if (connection->easy)
		curl_easy_cleanup(connection->easy);
	if (connection->multi)
		curl_multi_cleanup(connection->multi);
	free(connection);
}

void s3_http_free(struct s3_http *http)
{
	struct connection *connection;

	if (!http)
		return;
	while ((connection = SLIST_FIRST(&http->idle))) {
		SLIST_REMOVE_HEAD(&http->idle, entry);
		connection_free(connection);
	}
	pthread_mutex_destroy(&http->lock);
	free((char *)http->options.ca_file);
	free(http);
}

static struct connection *connection_take(struct s3_http *http)
{
	struct connection *connection;

	pthread_mutex_lock(&http->lock);
	connection = SLIST_FIRST(&http->idle);
	if (connection) {
		SLIST_REMOVE_HEAD(&http->idle, entry);
		http->idle_count--;
	}
	pthread_mutex_unlock(&http->lock);
	if (connection)
		return connection;
	connection = xcalloc(1, sizeof(*connection));
	connection->multi = curl_multi_init();
	connection->easy = curl_easy_init();
	if (connection->multi && connection->easy)
		return connection;
	connection_free(connection);
	return NULL;
}

static void connection_give(struct s3_http *http, struct connection *connection)
{
	bool kept;

	curl_easy_reset(connection->easy); /* forgets the signature, too */
	pthread_mutex_lock(&http->lock);
	kept = http->idle_count < IDLE_MAX;
	if (kept) {
		SLIST_INSERT_HEAD(&http->idle, connection, entry);
		http->idle_count++;
	}
	pthread_mutex_unlock(&http->lock);
	if (!kept)
		connection_free(connection);
}

/* ---- what libcurl calls ---- */

static void enter(struct s3_exchange *exchange, enum phase phase)
{
	if (phase < exchange->phase)
		return;
	exchange->phase = phase;
	exchange->last_ms = clock_monotonic_ms();
}

static int on_connected(void *context, char *peer, char *own, int peer_port, int own_port)
{
	struct s3_exchange *exchange = context;

	(void)peer;
	(void)own;
	(void)peer_port;
	(void)own_port;
	enter(exchange, exchange->to_send ? SENDING : WAITING);
	return CURL_PREREQFUNC_OK;
}

/* libcurl ends the exchange when fewer bytes are taken than it gave. */
static size_t on_header(char *line, size_t size, size_t count, void *context)
{
	struct s3_exchange *exchange = context;
	size_t length = size * count;

	enter(exchange, RECEIVING);
	exchange->header_bytes += length;
	if (exchange->header_bytes > HEADERS_MAX)
		return 0;
	s3_answer_take(&exchange->answer, line, length);
	if (length <= 2 && exchange->answer.status >= 200)
		exchange->head_complete = true;
	return length;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
	struct s3_exchange *exchange = context;
	size_t length = size * count;
	size_t direct = length < exchange->target_left ? length : exchange->target_left;

	if (exchange->spill_length || length - direct > (size_t)RECEIVE_BUFFER) {
		exchange->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	enter(exchange, RECEIVING);
	exchange->received += length;
	if (direct) {
		memcpy(exchange->target, bytes, direct);
		exchange->target += direct;
		exchange->target_left -= direct;
	}
	if (direct == length)
		return length;
	if (!exchange->spill)
		exchange->spill = xmalloc((size_t)RECEIVE_BUFFER);
	memcpy(exchange->spill, bytes + direct, length - direct);
	exchange->spill_at = 0;
	exchange->spill_length = length - direct;
	return length;
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		       curl_off_t up)
{
	struct s3_exchange *exchange = context;

	(void)down_total;
	(void)down;
	(void)up_total;
	if (exchange->phase > SENDING || (uint64_t)up == exchange->sent)
		return 0;
	exchange->sent = (uint64_t)up;
	enter(exchange, exchange->sent < exchange->to_send ? SENDING : WAITING);
	return 0;
}

/* ---- setting up ---- */

/* The first failure is kept, so that a list of options reads as a list. */
#define SET(option, value) \
	do { \
		if (code == CURLE_OK) \
			code = curl_easy_setopt(easy, (option), (value)); \
	} while (0)

static CURLcode set_connection(CURL *easy, const struct s3_http_options *options)
{
	CURLcode code = CURLE_OK;

	SET(CURLOPT_NOSIGNAL, 1L);
	/* or a resolver that hangs would hold us long after our own timeout */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER);
	SET(CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_S);
	SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE_S);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_ms);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_CA_CACHE_TIMEOUT, CA_FILE_KEPT_S);
	if (*options->ca_file)
		SET(CURLOPT_CAINFO, options->ca_file);
	return code;
}

static CURLcode set_request(CURL *easy, struct s3_exchange *exchange,
			    const struct s3_http_request *request)
{
	CURLcode code = CURLE_OK;

	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_USERAGENT, "breakwater/" BREAKWATER_VERSION);
	SET(CURLOPT_HTTPHEADER, (struct curl_slist *)request->headers);
	if (exchange->is_head_request)
		SET(CURLOPT_NOBODY, 1L);
	else if (strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0) {
		/* from the caller's memory, small ones in one segment with the head */
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDS, request->length ? request->body : "");
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->length);
	}
	SET(CURLOPT_CUSTOMREQUEST, exchange->is_head_request ? NULL : request->method);
	SET(CURLOPT_ERRORBUFFER, exchange->curl_error);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, exchange);
	SET(CURLOPT_PREREQFUNCTION, on_connected);
	SET(CURLOPT_PREREQDATA, exchange);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, exchange);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, exchange);
	return code;
}

/* ---- running ---- */

static int64_t limit_of(const struct s3_exchange *exchange)
{
	const struct s3_http_options *options = &exchange->http->options;

	switch (exchange->phase) {
	case CONNECTING: /* libcurl's own limit comes first; this one is for safety */
		return options->connect_ms + POLL_MAX_MS;
	case WAITING:
		return options->first_byte_ms;
	default:
		return options->stall_ms;
	}
}

static enum status timed_out(const struct s3_exchange *exchange, bool by_deadline,
			     struct error *error)
{
	static const char *const phases[] = {"no connection", "it takes no bytes", "no answer",
					     "no more bytes of the answer", "done"};
	char limit[32];

	if (by_deadline)
		return error_set(error, BW_TIMEOUT, "the deadline passed: %s",
				 phases[exchange->phase]);
	str_format_duration(limit_of(exchange), limit, sizeof(limit));
	return error_set(error, BW_TIMEOUT, "%s for %s", phases[exchange->phase], limit);
}

static void look_for_end(struct s3_exchange *exchange)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(exchange->connection->multi, &left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		exchange->code = message->data.result;
		exchange->phase = DONE;
	}
}

/* One step: lets libcurl do what it can do now, and else waits for more. */
static enum status step(struct s3_exchange *exchange, deadline_ms deadline, bool may_wait,
			struct error *error)
{
	CURLM *multi = exchange->connection->multi;
	int64_t now = clock_monotonic_ms();
	int64_t limit = exchange->last_ms + limit_of(exchange);
	int64_t wait;
	int running = 0;

	if (may_wait) {
		wait = (limit < deadline ? limit : deadline) - now;
		if (wait <= 0)
			return timed_out(exchange, deadline <= limit, error);
		curl_multi_poll(multi, NULL, 0, wait < POLL_MAX_MS ? (int)wait : POLL_MAX_MS, NULL);
	}
	if (curl_multi_perform(multi, &running) != CURLM_OK)
		return error_set(error, BW_INTERNAL, "libcurl's multi handle failed");
	look_for_end(exchange);
	return BW_OK;
}

/* No outage: waiting mends neither, and nothing was sent. */
static bool is_mistrust(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
}

static enum status judge(const struct s3_exchange *exchange, struct error *error)
{
	const char *why =
		exchange->curl_error[0] ? exchange->curl_error : curl_easy_strerror(exchange->code);
	const struct s3_answer *answer = &exchange->answer;

	if (exchange->code == CURLE_OPERATION_TIMEDOUT)
		return timed_out(exchange, false, error);
	if (exchange->header_bytes > HEADERS_MAX)
		return error_set(error, BW_UNREACHABLE, "the answer's head is too long");
	if (is_mistrust(exchange->code))
		return error_set(error, BW_DENIED, "%s; " NOT_TRUSTED, why);
	if (exchange->code != CURLE_OK)
		return error_set(error, BW_UNREACHABLE, "%s", why);
	if (!exchange->head_complete)
		return error_set(error, BW_UNREACHABLE, "the answer has no whole head");
	if (!exchange->is_head_request && answer->has_length &&
	    exchange->received != answer->content_length)
		return error_set(error, BW_UNREACHABLE,
				 "the answer ended after %" PRIu64 " of %" PRIu64 " bytes",
				 exchange->received, answer->content_length);
	return BW_OK;
}

static enum status start(struct s3_exchange *exchange, const struct s3_http_request *request,
			 struct error *error)
{
	struct connection *connection = connection_take(exchange->http);
	CURLcode code;

	if (!connection)
		return error_set(error, BW_INTERNAL, "libcurl has no handle for us");
	exchange->connection = connection;
	code = set_connection(connection->easy, &exchange->http->options);
	if (code == CURLE_OK)
		code = set_request(connection->easy, exchange, request);
	if (code != CURLE_OK)
		return error_set(error, BW_INTERNAL, "libcurl: %s", curl_easy_strerror(code));
	if (curl_multi_add_handle(connection->multi, connection->easy) != CURLM_OK)
		return error_set(error, BW_INTERNAL, "libcurl takes no handle");
	return step(exchange, DEADLINE_NEVER, false, error);
}

enum status s3_exchange_begin(struct s3_http *http, const struct s3_http_request *request,
			      deadline_ms deadline, struct s3_exchange **ret_exchange,
			      struct s3_answer *ret_answer, bool *ret_sent, struct error *error)
{
	struct s3_exchange *exchange = xcalloc(1, sizeof(*exchange));
	enum status status;

	exchange->http = http;
	exchange->to_send = request->length;
	exchange->is_head_request = strcmp(request->method, "HEAD") == 0;
	exchange->last_ms = clock_monotonic_ms();
	status = start(exchange, request, error);
	while (!status && exchange->phase != DONE && !exchange->head_complete)
		status = step(exchange, deadline, true, error);
	if (!status && exchange->phase == DONE && !exchange->head_complete)
		status = judge(exchange, error);
	*ret_sent = exchange->phase != CONNECTING;
	if (status) {
		s3_exchange_end(exchange);
		return status;
	}
	*ret_answer = exchange->answer;
	*ret_exchange = exchange;
	return BW_OK;
}

static size_t take_spill(struct s3_exchange *exchange, void *target, size_t length)
{
	if (length > exchange->spill_length)
		length = exchange->spill_length;
	if (length) {
		memcpy(target, exchange->spill + exchange->spill_at, length);
		exchange->spill_at += length;
		exchange->spill_length -= length;
	}
	return length;
}

static enum status resume(struct s3_exchange *exchange, struct error *error)
{
	exchange->last_ms = clock_monotonic_ms(); /* what the reader took is no stall */
	if (!exchange->paused)
		return BW_OK;
	exchange->paused = false;
	if (curl_easy_pause(exchange->connection->easy, CURLPAUSE_CONT) != CURLE_OK)
		return error_set(error, BW_UNREACHABLE, "the answer cannot be read on");
	return BW_OK;
}

enum status s3_exchange_read(struct s3_exchange *exchange, void *target, size_t length,
			     deadline_ms deadline, size_t *ret_length, struct error *error)
{
	size_t got = take_spill(exchange, target, length);
	enum status status = BW_OK;

	if (got == 0 && length > 0 && exchange->phase != DONE) {
		exchange->target = target;
		exchange->target_left = length;
		status = resume(exchange, error);
		/* what has come already is worth no waiting */
		if (!status && exchange->target_left == length)
			status = step(exchange, deadline, false, error);
		while (!status && exchange->phase != DONE && exchange->target_left == length)
			status = step(exchange, deadline, true, error);
		got = length - exchange->target_left;
		exchange->target_left = 0;
	}
	if (!status && got == 0 && length > 0 && exchange->phase == DONE)
		status = judge(exchange, error);
	if (status && got == 0)
		return status;
	*ret_length = got;
	return BW_OK;
}

enum status s3_exchange_read_all(struct s3_exchange *exchange, struct buf *target,
				 deadline_ms deadline, struct error *error)
{
	char piece[16384];
	size_t got = 0;

	do {
		enum status status =
			s3_exchange_read(exchange, piece, sizeof(piece), deadline, &got, error);

		if (status)
			return status;
		buf_append(target, piece, got);
		if (target->overflow)
			return error_set(error, BW_TOO_LARGE, "the answer has more than %zu bytes",
					 target->max);
	} while (got > 0);
	return BW_OK;
}

void s3_exchange_end(struct s3_exchange *exchange)
{
	bool whole;

	if (!exchange)
		return;
	/* the last byte may be read, and its end not yet noticed */
	if (exchange->phase == RECEIVING && !exchange->paused && !exchange->spill_length)
		step(exchange, DEADLINE_NEVER, false, NULL);
	whole = exchange->phase == DONE && exchange->code == CURLE_OK;
	if (exchange->connection) {
		curl_multi_remove_handle(exchange->connection->multi, exchange->connection->easy);
		if (whole)
			connection_give(exchange->http, exchange->connection);
		else
			connection_free(exchange->connection);
	}
	free(exchange->spill);
	free(exchange);
}
