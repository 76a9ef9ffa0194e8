/*
 * An HTTP server inside the test, on 127.0.0.1, that sends the very bytes a
 * script gives it: right ones, wrong ones, too few. It remembers every request.
 */
#ifndef TESTS_SUPPORT_SCRIPT_SERVER_H
#define TESTS_SUPPORT_SCRIPT_SERVER_H

#include "server/base/memory.h"
#include "tests/support/support.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SCRIPT_MAX_CONNECTIONS 64
#define SCRIPT_MAX_REQUESTS 256

enum script_then {
	SCRIPT_KEEP, /* wait for the next request */
	SCRIPT_CLOSE, /* FIN */
	SCRIPT_RESET, /* RST */
	SCRIPT_HANG, /* nothing more, until the client has gone */
};

struct script_reply {
	const char *bytes;
	size_t length; /* 0: strlen(bytes) */
	enum script_then then;
	char *owned; /* freed when it was sent; or NULL */
};

/* Called on a connection's thread, for each request's head. What the bytes stand
 * in must not change later: script_fixed() replies with a copy. */
typedef struct script_reply (*script_answer)(void *context, const char *request);

struct script_server {
	script_answer answer;
	void *context;

	char url[64]; /* http://127.0.0.1:port */
	int listener;
	pthread_t acceptor;
	pthread_mutex_t lock; /* covers what follows */
	int connections[SCRIPT_MAX_CONNECTIONS]; /* -1: closed */
	pthread_t threads[SCRIPT_MAX_CONNECTIONS];
	unsigned connection_count;
	char *requests[SCRIPT_MAX_REQUESTS];
	unsigned request_count;
};

struct script_connection {
	struct script_server *server;
	unsigned index;
	int fd;
};

static inline bool script_read_head(int fd, char *head, size_t size)
{
	size_t length = 0;

	while (length + 1 < size) {
		ssize_t got = recv(fd, head + length, 1, 0);

		if (got <= 0)
			return false;
		length++;
		head[length] = '\0';
		if (length >= 4 && memcmp(head + length - 4, "\r\n\r\n", 4) == 0)
			return true;
	}
	return false;
}

static inline void script_send(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		bytes += sent;
		length -= (size_t)sent;
	}
}

static inline void script_end(struct script_connection *connection, enum script_then then)
{
	struct linger reset = {.l_onoff = 1};
	char byte;

	while (then == SCRIPT_HANG && recv(connection->fd, &byte, 1, 0) > 0)
		;
	if (then == SCRIPT_RESET)
		setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	pthread_mutex_lock(&connection->server->lock);
	connection->server->connections[connection->index] = -1;
	pthread_mutex_unlock(&connection->server->lock);
	close(connection->fd);
}

static inline void *script_serve(void *argument)
{
	struct script_connection *connection = argument;
	struct script_server *server = connection->server;
	enum script_then then = SCRIPT_KEEP;
	char head[16384];

	while (then == SCRIPT_KEEP && script_read_head(connection->fd, head, sizeof(head))) {
		struct script_reply reply;

		pthread_mutex_lock(&server->lock);
		if (server->request_count < SCRIPT_MAX_REQUESTS)
			server->requests[server->request_count++] = xstrdup(head);
		pthread_mutex_unlock(&server->lock);
		reply = server->answer(server->context, head);
		script_send(connection->fd, reply.bytes,
			    reply.length ? reply.length : strlen(reply.bytes));
		free(reply.owned);
		then = reply.then;
	}
	script_end(connection, then);
	free(connection);
	return NULL;
}

static inline void *script_accept(void *argument)
{
	struct script_server *server = argument;
	int fd;

	while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
		struct script_connection *connection = xcalloc(1, sizeof(*connection));

		pthread_mutex_lock(&server->lock);
		connection->server = server;
		connection->fd = fd;
		connection->index = server->connection_count++;
		assert_true(connection->index < SCRIPT_MAX_CONNECTIONS);
		server->connections[connection->index] = fd;
		pthread_create(&server->threads[connection->index], NULL, script_serve, connection);
		pthread_mutex_unlock(&server->lock);
	}
	return NULL;
}

static inline int script_listen(char *ret_url, size_t url_size)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	snprintf(ret_url, url_size, "http://127.0.0.1:%u", ntohs(address.sin_port));
	return fd;
}

static inline struct script_server *script_server_new(script_answer answer, void *context)
{
	struct script_server *server = xcalloc(1, sizeof(*server));

	server->answer = answer;
	server->context = context;
	pthread_mutex_init(&server->lock, NULL);
	server->listener = script_listen(server->url, sizeof(server->url));
	pthread_create(&server->acceptor, NULL, script_accept, server);
	return server;
}

static inline void script_server_free(struct script_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->acceptor, NULL);
	close(server->listener);
	pthread_mutex_lock(&server->lock);
	for (unsigned i = 0; i < server->connection_count; i++) {
		if (server->connections[i] >= 0)
			shutdown(server->connections[i], SHUT_RDWR);
	}
	pthread_mutex_unlock(&server->lock);
	for (unsigned i = 0; i < server->connection_count; i++)
		pthread_join(server->threads[i], NULL);
	for (unsigned i = 0; i < server->request_count; i++)
		free(server->requests[i]);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

/* The same reply to every request, which the test changes as it goes on. */
struct script_fixed {
	pthread_mutex_t lock; /* covers the two below */
	char *bytes;
	enum script_then then;
};

static inline void script_fixed_init(struct script_fixed *fixed)
{
	*fixed = (struct script_fixed){.lock = PTHREAD_MUTEX_INITIALIZER, .bytes = xstrdup("")};
}

static inline void script_fixed_release(struct script_fixed *fixed)
{
	free(fixed->bytes);
	pthread_mutex_destroy(&fixed->lock);
}

static inline void script_fixed_set(struct script_fixed *fixed, const char *bytes,
				    enum script_then then)
{
	pthread_mutex_lock(&fixed->lock);
	free(fixed->bytes);
	fixed->bytes = xstrdup(bytes);
	fixed->then = then;
	pthread_mutex_unlock(&fixed->lock);
}

static inline struct script_reply script_fixed_answer(void *context, const char *request)
{
	struct script_fixed *fixed = context;
	struct script_reply reply;

	(void)request;
	pthread_mutex_lock(&fixed->lock);
	reply = (struct script_reply){.owned = xstrdup(fixed->bytes), .then = fixed->then};
	reply.bytes = reply.owned;
	pthread_mutex_unlock(&fixed->lock);
	return reply;
}

static inline unsigned script_requests(struct script_server *server)
{
	unsigned count;

	pthread_mutex_lock(&server->lock);
	count = server->request_count;
	pthread_mutex_unlock(&server->lock);
	return count;
}

static inline unsigned script_connections(struct script_server *server)
{
	unsigned count;

	pthread_mutex_lock(&server->lock);
	count = server->connection_count;
	pthread_mutex_unlock(&server->lock);
	return count;
}

/* How many requests hold this text. */
static inline unsigned script_count(struct script_server *server, const char *text)
{
	unsigned count = 0;

	pthread_mutex_lock(&server->lock);
	for (unsigned i = 0; i < server->request_count; i++)
		count += strstr(server->requests[i], text) != NULL;
	pthread_mutex_unlock(&server->lock);
	return count;
}

#endif
