/*
 * A running exchange goes through these phases, each with its own limit:
 *
 *   CONNECTING  name, TCP, TLS        connect_ms, kept by libcurl
 *   WAITING     for the status line   first_byte_ms
 *   RECEIVING   head and body         stall_ms since the last byte
 *
 * libcurl calls on_progress() at least once a second, which is where limits,
 * deadline and cancellation are looked at. Only a reused connection that had
 * died leads back, from WAITING to WAITING.
 */
#include "server/upstream/transfer.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/upstream/transfer_headers.h"
#include "server/upstream/url.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define RECEIVE_BUFFER (256L << 10)
/* Connections are given up early enough that a changed DNS record, a new CA
 * file or a moved load balancer is noticed without a restart. */
#define CONNECTION_IDLE_S 90L
#define CONNECTION_LIFE_S 300L
#define CA_FILE_KEPT_S 60L
#define DURATION_SIZE 32

struct idle_handle {
	TAILQ_ENTRY(idle_handle) entry;
	CURL *curl;
	char *key;
	int64_t since_ms;
};
TAILQ_HEAD(idle_list, idle_handle);

struct transfer_pool {
	struct transfer_options options; /* ca_file is ours */
	pthread_mutex_t lock; /* covers the two below; leaf */
	struct idle_list idle; /* most recently used first */
	unsigned count;
};

enum phase { CONNECTING, WAITING, RECEIVING };

struct running {
	const struct transfer_options *options;
	const struct transfer_request *request;
	struct transfer_response *response;
	struct head_reader head;
	enum phase phase;
	int64_t started_ms;
	int64_t sent_ms;
	int64_t last_ms; /* of a byte */
	bool unwanted; /* on_headers did not want the body */
	struct error stop; /* why we ended it; BW_OK: we did not */
	char curl_error[CURL_ERROR_SIZE];
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;

static void global_init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
}

struct transfer_pool *transfer_pool_new(const struct transfer_options *options)
{
	struct transfer_pool *pool = xcalloc(1, sizeof(*pool));

	pthread_once(&global_once, global_init);
	pool->options = *options;
	pool->options.ca_file = NULL;
	if (options->ca_file && *options->ca_file)
		pool->options.ca_file = xstrdup(options->ca_file);
	pthread_mutex_init(&pool->lock, NULL);
	TAILQ_INIT(&pool->idle);
	return pool;
}

static void idle_list_release(struct idle_list *list)
{
	struct idle_handle *idle;

	while ((idle = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, idle, entry);
		curl_easy_cleanup(idle->curl);
		free(idle->key);
		free(idle);
	}
}

void transfer_pool_free(struct transfer_pool *pool)
{
	if (!pool)
		return;
	idle_list_release(&pool->idle);
	pthread_mutex_destroy(&pool->lock);
	free((char *)pool->options.ca_file);
	free(pool);
}

static CURL *pool_take(struct transfer_pool *pool, const char *key)
{
	struct idle_handle *idle;
	CURL *curl;

	pthread_mutex_lock(&pool->lock);
	TAILQ_FOREACH(idle, &pool->idle, entry)
	{
		if (strcmp(idle->key, key) == 0)
			break;
	}
	if (idle) {
		TAILQ_REMOVE(&pool->idle, idle, entry);
		pool->count--;
	}
	pthread_mutex_unlock(&pool->lock);
	if (!idle)
		return curl_easy_init();
	curl = idle->curl;
	free(idle->key);
	free(idle);
	return curl;
}

/* Keeps the handle for its key, and sheds those that nobody needed for long. */
static void pool_give(struct transfer_pool *pool, const char *key, CURL *curl)
{
	struct idle_list shed = TAILQ_HEAD_INITIALIZER(shed);
	struct idle_handle *idle = xmalloc(sizeof(*idle));
	int64_t now = clock_monotonic_ms();

	/* forgets the headers, with the credential among them */
	curl_easy_reset(curl);
	*idle = (struct idle_handle){.curl = curl, .key = xstrdup(key), .since_ms = now};
	pthread_mutex_lock(&pool->lock);
	TAILQ_INSERT_HEAD(&pool->idle, idle, entry);
	pool->count++;
	while ((idle = TAILQ_LAST(&pool->idle, idle_list)) &&
	       (pool->count > pool->options.max_idle ||
		now - idle->since_ms > CONNECTION_IDLE_S * 1000)) {
		TAILQ_REMOVE(&pool->idle, idle, entry);
		TAILQ_INSERT_TAIL(&shed, idle, entry);
		pool->count--;
	}
	pthread_mutex_unlock(&pool->lock);
	idle_list_release(&shed);
}

const char *transfer_method_name(enum transfer_method method)
{
	return method == TRANSFER_HEAD ? "HEAD" : "GET";
}

static int on_connected(void *context, char *peer, char *own, int peer_port, int own_port)
{
	struct running *running = context;

	(void)peer;
	(void)own;
	(void)peer_port;
	(void)own_port;
	running->phase = WAITING;
	running->sent_ms = clock_monotonic_ms();
	return CURL_PREREQFUNC_OK;
}

/* Where clouds hand out a machine's own credentials, and no registry lives. */
static bool is_link_local(const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
	const unsigned char *bytes;

	if (address->sa_family == AF_INET) {
		bytes = (const unsigned char *)&v4->sin_addr;
		return bytes[0] == 169 && bytes[1] == 254;
	}
	if (address->sa_family != AF_INET6)
		return false;
	bytes = v6->sin6_addr.s6_addr;
	return IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && bytes[12] == 169 && bytes[13] == 254);
}

/* Asked with the address itself, whatever name stood for it. */
static curl_socket_t on_open_socket(void *context, curlsocktype purpose,
				    struct curl_sockaddr *address)
{
	struct running *running = context;

	(void)purpose;
	if (running->request->redirected && is_link_local(&address->addr)) {
		error_set(&running->stop, BW_UNREACHABLE,
			  "a redirect to a link-local address is not followed");
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool over(int64_t since_ms, int64_t limit_ms, int64_t now)
{
	return limit_ms > 0 && now - since_ms >= limit_ms;
}

static enum status stop_for_limit(struct running *running, int64_t limit_ms, const char *what)
{
	char limit[DURATION_SIZE];

	str_format_duration(limit_ms, limit, sizeof(limit));
	if (running->phase == RECEIVING)
		return error_set(&running->stop, BW_TIMEOUT,
				 "%s for %s, after %" PRIu64 " bytes of the body", what, limit,
				 running->response->body_length);
	return error_set(&running->stop, BW_TIMEOUT, "%s within %s", what, limit);
}

static enum status stop_for_deadline(struct running *running)
{
	static const char *const phases[] = {"connecting", "waiting for an answer",
					     "receiving the answer"};
	char spent[DURATION_SIZE];

	str_format_duration(clock_monotonic_ms() - running->started_ms, spent, sizeof(spent));
	return error_set(&running->stop, BW_TIMEOUT, "the deadline passed after %s, while %s",
			 spent, phases[running->phase]);
}

static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
		       curl_off_t up)
{
	struct running *running = context;
	const struct transfer_options *options = running->options;
	int64_t now = clock_monotonic_ms();

	(void)down_total;
	(void)down;
	(void)up_total;
	(void)up;
	if (running->request->cancelled && *running->request->cancelled)
		error_set(&running->stop, BW_CANCELLED, "given up");
	else if (deadline_passed(running->request->deadline))
		stop_for_deadline(running);
	else if (running->phase == WAITING && over(running->sent_ms, options->first_byte_ms, now))
		stop_for_limit(running, options->first_byte_ms, "no answer");
	else if (running->phase == RECEIVING && over(running->last_ms, options->stall_ms, now))
		stop_for_limit(running, options->stall_ms, "no byte");
	return running->stop.code != BW_OK;
}

/* libcurl ends the transfer when fewer bytes are taken than it gave. */
static size_t on_header_line(char *line, size_t size, size_t count, void *context)
{
	struct running *running = context;
	const struct transfer_request *request = running->request;
	bool was_complete = running->head.complete;

	running->phase = RECEIVING;
	running->last_ms = clock_monotonic_ms();
	if (!head_reader_feed(&running->head, line, size * count)) {
		error_set(&running->stop, BW_UNREACHABLE, "%s", running->head.refusal);
		return 0;
	}
	if (running->head.complete && !was_complete && request->on_headers &&
	    !request->on_headers(request->context, running->response)) {
		running->unwanted = true;
		return 0;
	}
	return size * count;
}

static size_t on_body_bytes(char *bytes, size_t size, size_t count, void *context)
{
	struct running *running = context;
	const struct transfer_request *request = running->request;

	running->response->body_length += size * count;
	if (request->on_body && !request->on_body(request->context, bytes, size * count)) {
		error_set(&running->stop, BW_CANCELLED, "the rest of the body is not wanted");
		return 0;
	}
	/* after the callback: what a slow disk takes is no stall of the peer's */
	running->last_ms = clock_monotonic_ms();
	return size * count;
}

static bool has_control_bytes(const char *value)
{
	for (; *value; value++) {
		if ((unsigned char)*value < ' ' || *value == 0x7f)
			return true;
	}
	return false;
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
	struct curl_slist *longer;
	char *line;

	if (!value)
		return true;
	if (has_control_bytes(value))
		return false;
	line = xasprintf("%s: %s", name, value);
	longer = curl_slist_append(*list, line);
	free(line);
	if (longer)
		*list = longer;
	return longer != NULL;
}

static bool make_headers(const struct transfer_request *request, struct curl_slist **ret)
{
	struct curl_slist *list = NULL;

	if (!add_header(&list, "Authorization", request->authorization) ||
	    !add_header(&list, "Accept", request->accept) ||
	    !add_header(&list, "Range", request->range)) {
		curl_slist_free_all(list);
		return false;
	}
	*ret = list;
	return true;
}

/* The first failure is kept, so that a list of options reads as a list. */
#define SET(option, value) \
	do { \
		if (code == CURLE_OK) \
			code = curl_easy_setopt(curl, (option), (value)); \
	} while (0)

static CURLcode set_connection_options(CURL *curl, const struct transfer_options *options)
{
	long verify = options->insecure_skip_verify ? 0L : 1L;
	CURLcode code = CURLE_OK;

	SET(CURLOPT_NOSIGNAL, 1L);
	/* or a resolver that hangs would hold us long after our own timeout */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	SET(CURLOPT_MAXCONNECTS, 2L);
	SET(CURLOPT_MAXAGE_CONN, CONNECTION_IDLE_S);
	SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE_S);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_ms);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, verify);
	SET(CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
	SET(CURLOPT_CA_CACHE_TIMEOUT, CA_FILE_KEPT_S);
	if (options->direct)
		SET(CURLOPT_PROXY, "");
	if (options->ca_file)
		SET(CURLOPT_CAINFO, options->ca_file);
	return code;
}

static CURLcode set_request_options(CURL *curl, struct running *running, struct curl_slist *headers)
{
	const struct transfer_request *request = running->request;
	int64_t left = deadline_left_ms(request->deadline);
	CURLcode code = CURLE_OK;

	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_NOBODY, request->method == TRANSFER_HEAD ? 1L : 0L);
	SET(CURLOPT_USERAGENT, "breakwater/" BREAKWATER_VERSION);
	SET(CURLOPT_HTTPHEADER, headers);
	/* exact, where on_progress is called only once a second */
	if (left < INT32_MAX)
		SET(CURLOPT_TIMEOUT_MS, (long)(left ? left : 1));
	SET(CURLOPT_ERRORBUFFER, running->curl_error);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, running);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, running);
	SET(CURLOPT_PREREQFUNCTION, on_connected);
	SET(CURLOPT_PREREQDATA, running);
	SET(CURLOPT_HEADERFUNCTION, on_header_line);
	SET(CURLOPT_HEADERDATA, running);
	SET(CURLOPT_WRITEFUNCTION, on_body_bytes);
	SET(CURLOPT_WRITEDATA, running);
	return code;
}

/* libcurl's own words say whether it was the name, TCP or TLS that took so long. */
static enum status judge_timeout(struct running *running, const char *why, struct error *error)
{
	if (deadline_passed(running->request->deadline)) {
		stop_for_deadline(running);
		return error_set(error, BW_TIMEOUT, "%s", running->stop.message);
	}
	stop_for_limit(running, running->options->connect_ms, "no connection");
	return error_set(error, BW_TIMEOUT, "%s (%s)", running->stop.message, why);
}

static enum status judge_broken(const struct running *running, const char *why, struct error *error)
{
	const struct transfer_response *response = running->response;

	if (running->head.complete && response->headers.has_content_length)
		return error_set(error, BW_UNREACHABLE,
				 "ended early after %" PRIu64 " of %" PRIu64 " bytes (%s)",
				 response->body_length, response->headers.content_length, why);
	if (running->head.complete)
		return error_set(error, BW_UNREACHABLE, "ended early after %" PRIu64 " bytes (%s)",
				 response->body_length, why);
	return error_set(error, BW_UNREACHABLE, "%s", why);
}

static bool is_short(const struct running *running)
{
	const struct transfer_response *response = running->response;

	return running->request->method == TRANSFER_GET && response->status / 100 == 2 &&
	       response->headers.has_content_length &&
	       response->body_length != response->headers.content_length;
}

/* What libcurl's outcome and our own reasons for stopping amount to. */
static enum status judge(struct running *running, CURLcode code, struct error *error)
{
	const char *why = running->curl_error[0] ? running->curl_error : curl_easy_strerror(code);

	if (running->stop.code != BW_OK)
		return error_set(error, running->stop.code, "%s", running->stop.message);
	if (running->unwanted)
		return BW_OK;
	if (code == CURLE_OPERATION_TIMEDOUT)
		return judge_timeout(running, why, error);
	if (code != CURLE_OK)
		return judge_broken(running, why, error);
	if (!running->head.complete)
		return error_set(error, BW_UNREACHABLE, "closed the connection within the headers");
	if (is_short(running))
		return judge_broken(running, "closed", error);
	return BW_OK;
}

static enum status run(CURL *curl, struct running *running, struct error *error, bool *ret_reusable)
{
	struct curl_slist *headers = NULL;
	enum status status;
	CURLcode code;

	if (!make_headers(running->request, &headers))
		return error_set(error, BW_INTERNAL, "a header to be sent has control bytes");
	code = set_connection_options(curl, running->options);
	if (code == CURLE_OK)
		code = set_request_options(curl, running, headers);
	if (code == CURLE_OK)
		code = curl_easy_perform(curl);
	status = judge(running, code, error);
	*ret_reusable = code == CURLE_OK && status == BW_OK;
	curl_slist_free_all(headers);
	return status;
}

enum status transfer_run(struct transfer_pool *pool, const struct transfer_request *request,
			 struct transfer_response *ret_response, struct error *error)
{
	const char *key = request->connection_key ? request->connection_key : "";
	struct running running = {.options = &pool->options,
				  .request = request,
				  .response = ret_response,
				  .head.response = ret_response,
				  .started_ms = clock_monotonic_ms()};
	char url[256];
	enum status status;
	bool reusable = false;
	CURL *curl;

	*ret_response = (struct transfer_response){0};
	url_for_people(request->url, url, sizeof(url));
	if (request->cancelled && *request->cancelled)
		return error_set(error, BW_CANCELLED, "%s: given up", url);
	if (deadline_passed(request->deadline))
		return error_set(error, BW_TIMEOUT, "%s: the deadline passed", url);
	curl = pool_take(pool, key);
	if (!curl)
		return error_set(error, BW_INTERNAL, "libcurl has no handle for us");
	status = run(curl, &running, error, &reusable);
	if (status != BW_OK)
		error_prefix(error, "%s", url);
	if (reusable)
		pool_give(pool, key, curl);
	else
		curl_easy_cleanup(curl);
	return status;
}
