/*
 * civetweb, and nothing but what the rest of the server needs of it: worker
 * threads, accepting, and the first cut of a request's head.
 *
 * The library's source is included rather than linked because its API lacks
 * the connection's socket (for sendfile(2)) and the bytes of the head (to see
 * what its lenient parser skipped). Its handlers, files, scripts, forms,
 * redirects and access log are never reached: begin_request answers every
 * request.
 */
#define USE_IPV6
#if defined(__SANITIZE_THREAD__)
/* The flag that ends the threads is a plain volatile, and even with this one
 * place does not read it atomically. */
#define STOP_FLAG_NEEDS_LOCK
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race_top:STOP_FLAG_ASSIGN\n";
}
#endif

#include <stddef.h>
#include <sys/socket.h>

/* The reason why a bind failed gets lost in the library. */
static _Thread_local int bind_errno;
static int bind_and_remember(int socket, const struct sockaddr *address, socklen_t length);
#define bind bind_and_remember
#include "civetweb.c"
#undef bind
#undef snprintf
#undef malloc
#undef calloc
#undef realloc
#undef free

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/http/connection_socket.h"
#include "server/http/inbound.h"
#include "server/http/listen_address.h"
#include "server/http/listener.h"

#include <stdatomic.h>
#include <sys/eventfd.h>

_Static_assert(HEAD_MAX_FIELDS == MG_MAX_HEADERS - 1,
	       "the library drops the 65th field in silence: 64 are too many");

#define QUEUE_SIZE "1024"
#define LISTEN_BACKLOG "4096"
#define HEAD_SIZE "16384"

/* One worker's connection, as other threads may see it. */
struct slot {
	pthread_mutex_t lock; /* covers the slot; a leaf */
	int socket; /* -1: none */
	bool busy; /* a request is being answered */
	struct inbound inbound; /* the worker's own, while it is; not under the lock */
};

struct listener {
	struct listener_options options;
	struct mg_context *context;
	char address[80];
	int socket; /* that listens, and where the library looks for it */
	int retired; /* the same socket once it no longer does; -1 before */
	struct slot *slots; /* one per worker */
	_Atomic unsigned connections;
	int never; /* readable only at the end; see listener_stop_accepting */
};

static int bind_and_remember(int socket, const struct sockaddr *address, socklen_t length)
{
	int result = bind(socket, address, length);

	if (result < 0)
		bind_errno = errno;
	return result;
}

/* ---- connection.h ----------------------------------------------------- */

static struct connection *wrap(struct mg_connection *conn)
{
	return (struct connection *)conn;
}

static struct mg_connection *unwrap(struct connection *connection)
{
	return (struct mg_connection *)connection;
}

static const struct mg_connection *unwrap_const(const struct connection *connection)
{
	return (const struct mg_connection *)connection;
}

static struct listener *listener_of(const struct mg_connection *conn)
{
	return conn->phys_ctx->user_data;
}

static struct slot *slot_of(const struct mg_connection *conn)
{
	return &listener_of(conn)->slots[conn - conn->phys_ctx->worker_connections];
}

const struct listener *connection_listener(const struct connection *connection)
{
	return listener_of(unwrap_const(connection));
}

void connection_peer(const struct connection *connection, struct connection_peer *ret_peer)
{
	const struct mg_request_info *info = &unwrap_const(connection)->request_info;
	const char *address = info->remote_addr;

	/* an IPv4 client of a socket for both families */
	if (str_starts_with(address, "::ffff:") && strchr(address, '.'))
		address += strlen("::ffff:");
	snprintf(ret_peer->address, sizeof(ret_peer->address),
		 strchr(address, ':') ? "[%s]:%d" : "%s:%d", address, info->remote_port);
}

/* What the library's loop will decide after the handler. */
bool connection_may_stay(const struct connection *connection)
{
	const struct mg_connection *conn = unwrap_const(connection);

	return should_keep_alive(conn) && conn->protocol_type == PROTOCOL_TYPE_HTTP1;
}

void connection_close_after(struct connection *connection)
{
	unwrap(connection)->must_close = 1;
}

/* Hands the socket back to us; the library skips what has none. */
static int take_socket(struct mg_connection *conn)
{
	struct slot *slot = slot_of(conn);
	int socket = conn->client.sock;

	pthread_mutex_lock(&slot->lock);
	slot->socket = -1;
	pthread_mutex_unlock(&slot->lock);
	conn->client.sock = INVALID_SOCKET;
	conn->must_close = 1;
	return socket;
}

void connection_reset(struct connection *connection)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct mg_connection *conn = unwrap(connection);
	int socket;

	if (conn->client.sock == INVALID_SOCKET)
		return;
	socket = take_socket(conn);
	setsockopt(socket, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(socket);
}

int connection_socket(const struct connection *connection)
{
	return unwrap_const(connection)->client.sock;
}

/* ---- the body --------------------------------------------------------- */

/* The library's own reading of bodies is not used: it waits for as long as it
 * likes, and its reading of the chunked coding leaves room for doubt. */
ssize_t connection_read_body(struct connection *connection, void *target, size_t size,
			     int timeout_ms)
{
	return inbound_read(&slot_of(unwrap(connection))->inbound, target, size, timeout_ms);
}

uint64_t connection_body_left(const struct connection *connection)
{
	const struct inbound *inbound = &slot_of(unwrap_const(connection))->inbound;

	if (inbound_is_settled(inbound))
		return 0;
	return inbound->is_chunked ? UINT64_MAX : inbound->left;
}

bool connection_has_bytes(const struct connection *connection)
{
	return inbound_has_bytes(&slot_of(unwrap_const(connection))->inbound);
}

/* To be called when the head was read, before a handler runs. */
static void begin_body(struct mg_connection *conn)
{
	struct inbound *inbound = &slot_of(conn)->inbound;

	inbound_init(inbound, conn->client.sock, conn->buf + conn->request_len,
		     (size_t)(conn->data_len - conn->request_len),
		     (size_t)(conn->buf_size - conn->request_len));
	inbound_expect(inbound, conn->is_chunked != 0, (uint64_t)conn->content_len);
}

/* Tells the library where in its buffer the next request begins. */
static void end_body(struct mg_connection *conn)
{
	const struct inbound *inbound = &slot_of(conn)->inbound;

	if (!inbound_is_settled(inbound)) {
		conn->must_close = 1;
		return;
	}
	conn->is_chunked = 0;
	conn->content_len = conn->consumed_content = (int64_t)inbound->at;
	conn->data_len = conn->request_len + (int)inbound->end;
}

/* ---- the head --------------------------------------------------------- */

/* The library's parser skips blank lines before a request, takes bare line
 * feeds, ends at a folded line and drops what comes behind it, and cuts spaces
 * off a field's name. It cuts in place, with NULs: so the pieces lie one behind
 * the other with exactly the bytes between them that RFC 9112 prescribes, or
 * something was skipped. */
static bool head_is_exact(const struct mg_connection *conn)
{
	const struct mg_request_info *info = &conn->request_info;
	const char *at = conn->buf;

	if (info->request_method != at)
		return false;
	at += strlen(at) + 1;
	if (info->request_uri != at)
		return false;
	at += strlen(at) + 1;
	if (info->http_version != at + strlen("HTTP/"))
		return false;
	at += strlen(at) + 2; /* CR LF */
	for (int i = 0; i < info->num_headers; i++) {
		const struct mg_header *field = &info->http_headers[i];

		if (field->name != at)
			return false;
		at += strlen(at) + 1; /* the colon */
		at += strspn(at, " \t");
		if (field->value != at)
			return false;
		at += strlen(at) + 2;
	}
	return at + 2 == conn->buf + conn->request_len;
}

static void fill_head(struct mg_connection *conn, struct request_head *head)
{
	const struct mg_request_info *info = &conn->request_info;

	/* the library has cut the query off */
	if (info->query_string)
		((char *)info->query_string)[-1] = '?';
	head->method = info->request_method;
	head->target = info->request_uri;
	head->version = info->http_version;
	head->field_count = (size_t)info->num_headers;
	for (size_t i = 0; i < head->field_count; i++) {
		head->fields[i].name = info->http_headers[i].name;
		head->fields[i].value = info->http_headers[i].value;
	}
	head->exact = head_is_exact(conn);
}

/* ---- callbacks of the library ----------------------------------------- */

static void set_busy(const struct mg_connection *conn, bool busy)
{
	struct slot *slot = slot_of(conn);

	pthread_mutex_lock(&slot->lock);
	slot->busy = busy;
	pthread_mutex_unlock(&slot->lock);
}

static int on_request(struct mg_connection *conn)
{
	const struct listener_options *options = &listener_of(conn)->options;
	struct request_head head;

	set_busy(conn, true);
	begin_body(conn);
	if (conn->request_info.num_headers > HEAD_MAX_FIELDS) {
		options->handle_malformed(options->context, wrap(conn), 431,
					  "bad request: it has too many header fields");
	} else {
		fill_head(conn, &head);
		options->handle(options->context, wrap(conn), &head);
	}
	end_body(conn);
	set_busy(conn, false);
	return 1; /* answered */
}

/* The library could not make a request of what came. */
static int on_error(struct mg_connection *conn, int status, const char *message)
{
	const struct listener_options *options = &listener_of(conn)->options;

	(void)message;
	if (status == 505)
		options->handle_malformed(
			options->context, wrap(conn), 505,
			"bad request: only HTTP/1.0 and HTTP/1.1 are spoken here");
	else if (conn->data_len >= conn->buf_size)
		options->handle_malformed(options->context, wrap(conn), 431,
					  "bad request: its head is longer than " HEAD_SIZE
					  " bytes");
	else
		options->handle_malformed(options->context, wrap(conn), 400,
					  "bad request: it cannot be read as HTTP/1.1");
	return 0;
}

static int on_log(const struct mg_connection *conn, const char *message)
{
	(void)conn;
	log_event(LOG_DEBUG, "civetweb", LOG_S("detail", message));
	return 1;
}

static int on_connection(const struct mg_connection *conn, void **conn_data)
{
	struct listener *listener = listener_of(conn);
	struct slot *slot = slot_of(conn);

	(void)conn_data;
	pthread_mutex_lock(&slot->lock);
	slot->socket = conn->client.sock;
	slot->busy = false;
	pthread_mutex_unlock(&slot->lock);
	atomic_fetch_add(&listener->connections, 1);
	if (listener->options.count_connection)
		listener->options.count_connection(listener->options.context, 1);
	return 0;
}

static void on_connection_end(const struct mg_connection *conn)
{
	struct listener *listener = listener_of(conn);
	struct slot *slot = slot_of(conn);

	pthread_mutex_lock(&slot->lock);
	slot->socket = -1;
	pthread_mutex_unlock(&slot->lock);
	atomic_fetch_sub(&listener->connections, 1);
	if (listener->options.count_connection)
		listener->options.count_connection(listener->options.context, -1);
}

/* ---- listener.h ------------------------------------------------------- */

static bool system_has_ipv6(void)
{
	int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (probe >= 0)
		close(probe);
	return probe >= 0;
}

/* The address in the library's spelling: "+port" is every address of both
 * families. */
static void spell_address(const struct listen_address *address, char *target, size_t target_size)
{
	if (address->any)
		snprintf(target, target_size, system_has_ipv6() ? "+%u" : "%u", address->port);
	else
		snprintf(target, target_size, address->is_ipv6 ? "[%s]:%u" : "%s:%u", address->host,
			 address->port);
}

/* The address as it was asked for, with the port it got. */
static void note_address(struct listener *listener)
{
	const struct socket *socket = &listener->context->listening_sockets[0];
	const char *asked = listener->options.address;
	int host_length = (int)(strrchr(asked, ':') - asked);

	snprintf(listener->address, sizeof(listener->address), "%.*s:%d", host_length, asked,
		 ntohs(USA_IN_PORT_UNSAFE(&socket->lsa)));
}

static void slots_init(struct listener *listener)
{
	listener->slots = xcalloc(listener->options.threads, sizeof(*listener->slots));
	for (unsigned i = 0; i < listener->options.threads; i++) {
		pthread_mutex_init(&listener->slots[i].lock, NULL);
		listener->slots[i].socket = -1;
	}
}

static void slots_release(struct listener *listener)
{
	for (unsigned i = 0; i < listener->options.threads; i++)
		pthread_mutex_destroy(&listener->slots[i].lock);
	free(listener->slots);
}

static struct mg_context *start_library(struct listener *listener, const char *spelt)
{
	static const struct mg_callbacks callbacks = {
		.begin_request = on_request,
		.http_error = on_error,
		.log_message = on_log,
		.init_connection = on_connection,
		.connection_close = on_connection_end,
	};
	const struct listener_options *options = &listener->options;
	char threads[16], head_timeout[16], idle_timeout[16];
	const char *settings[] = {
		"listening_ports",
		spelt,
		"num_threads",
		threads,
		"request_timeout_ms",
		head_timeout,
		"keep_alive_timeout_ms",
		idle_timeout,
		"enable_keep_alive",
		options->keep_alive ? "yes" : "no",
		"tcp_nodelay",
		"1",
		"connection_queue",
		QUEUE_SIZE,
		"listen_backlog",
		LISTEN_BACKLOG,
		"max_request_size",
		HEAD_SIZE,
		"decode_url",
		"no",
		"enable_auth_domain_check",
		"no",
		"enable_directory_listing",
		"no",
		NULL,
	};

	snprintf(threads, sizeof(threads), "%u", options->threads);
	snprintf(head_timeout, sizeof(head_timeout), "%d", options->head_timeout_ms);
	snprintf(idle_timeout, sizeof(idle_timeout), "%d", options->idle_timeout_ms);
	bind_errno = 0;
	return mg_start(&callbacks, listener, settings);
}

enum status listener_start(const struct listener_options *options, struct listener **ret_listener,
			   struct error *error)
{
	struct listen_address address;
	struct listener *listener;
	enum status status;
	char spelt[80];

	status = listen_address_resolve(options->key, options->address, &address, error);
	if (status != BW_OK)
		return status;
	spell_address(&address, spelt, sizeof(spelt));
	listener = xcalloc(1, sizeof(*listener));
	listener->options = *options;
	listener->retired = -1;
	listener->never = eventfd(0, EFD_CLOEXEC);
	slots_init(listener);
	mg_init_library(0);
	listener->context = listener->never < 0 ? NULL : start_library(listener, spelt);
	if (!listener->context) {
		error_set_errno(error, BW_IO, bind_errno ? bind_errno : errno,
				"%s: cannot listen on %s", options->key, options->address);
		listener_free(listener);
		return BW_IO;
	}
	listener->socket = listener->context->listening_sockets[0].sock;
	note_address(listener);
	*ret_listener = listener;
	return BW_OK;
}

const char *listener_address(const struct listener *listener)
{
	return listener->address;
}

unsigned listener_connections(const struct listener *listener)
{
	return atomic_load(&listener->connections);
}

unsigned listener_threads(const struct listener *listener)
{
	return listener->options.threads;
}

/* The library's accept thread polls the listening descriptor for as long as it
 * runs. Another file, which is not readable before the end, takes the
 * descriptor's place; the thread needs no telling. */
void listener_stop_accepting(struct listener *listener)
{
	if (listener->retired >= 0)
		return;
	listener->retired = fcntl(listener->socket, F_DUPFD_CLOEXEC, 0);
	dup3(listener->never, listener->socket, O_CLOEXEC);
	shutdown(listener->retired, SHUT_RDWR);
}

static void shut_connections(struct listener *listener, bool busy_ones_too, int how)
{
	for (unsigned i = 0; i < listener->options.threads; i++) {
		struct slot *slot = &listener->slots[i];

		pthread_mutex_lock(&slot->lock);
		if (slot->socket >= 0 && (busy_ones_too || !slot->busy))
			shutdown(slot->socket, how);
		pthread_mutex_unlock(&slot->lock);
	}
}

/* Bytes of a request that have arrived already can still be read then. */
void listener_close_idle(struct listener *listener)
{
	shut_connections(listener, false, SHUT_RD);
}

void listener_cut(struct listener *listener)
{
	shut_connections(listener, true, SHUT_RDWR);
}

bool listener_is_quiet(struct listener *listener)
{
	struct mg_context *context = listener->context;
	bool queue_is_empty;

	pthread_mutex_lock(&context->thread_mutex);
	queue_is_empty = context->sq_head == context->sq_tail;
	pthread_mutex_unlock(&context->thread_mutex);
	return queue_is_empty && listener_connections(listener) == 0;
}

/* Wakes the accept thread, which would notice the end only after its poll of
 * two seconds: that poll may wait for the new file, or still for the socket, and
 * then looks at the descriptor again. */
static void wake_accept_thread(struct listener *listener)
{
	const uint64_t one = 1;

	listener_stop_accepting(listener);
	(void)!write(listener->never, &one, sizeof(one));
	shutdown(listener->retired, SHUT_RDWR);
}

void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	if (listener->context) {
		wake_accept_thread(listener);
		listener_cut(listener);
		mg_stop(listener->context);
	}
	if (listener->never >= 0)
		close(listener->never);
	if (listener->retired >= 0)
		close(listener->retired);
	slots_release(listener);
	free(listener);
}
