#include "backends/redis/redis_stream.h"

#include "backends/redis/redis_tls.h"
#include "server/base/memory.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_AT_ONCE ((size_t)64 << 10)

struct redis_stream {
	int fd;
	struct redis_tls_session *tls; /* NULL: plain */
	redisReader *reader;
	char buffer[READ_AT_ONCE];
};

static enum status wait_for(const struct redis_stream *stream, short events, deadline_ms deadline,
			    struct error *error)
{
	struct pollfd pollfd = {.fd = stream->fd, .events = events};

	if (deadline_passed(deadline))
		return error_set(error, BW_TIMEOUT, "Redis did not answer in time");
	poll(&pollfd, 1, (int)deadline_left_ms(deadline));
	return BW_OK; /* whatever woke us, the next read or write tells */
}

static enum status wait_connected(const struct redis_stream *stream, deadline_ms deadline,
				  struct error *error)
{
	struct pollfd pollfd = {.fd = stream->fd, .events = POLLOUT};
	socklen_t length = sizeof(int);
	int problem = 0;

	while (poll(&pollfd, 1, (int)deadline_left_ms(deadline)) <= 0)
		if (deadline_passed(deadline))
			return error_set(error, BW_TIMEOUT, "no connection to Redis in time");
	getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &problem, &length);
	if (problem)
		return error_set_errno(error, BW_UNREACHABLE, problem, "connecting to Redis");
	return BW_OK;
}

static enum status connect_socket(struct redis_stream *stream, const struct redis_peer *peer,
				  deadline_ms deadline, struct error *error)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *address = NULL;
	enum status status = BW_OK;
	int on = 1;

	if (getaddrinfo(peer->ip, peer->port, &hints, &address) != 0)
		return error_set(error, BW_INVALID, "%s port %s is no address", peer->ip,
				 peer->port);
	stream->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (stream->fd < 0)
		status = error_set_errno(error, BW_IO, errno, "a socket for Redis");
	else if (connect(stream->fd, address->ai_addr, address->ai_addrlen) == 0)
		status = BW_OK;
	else if (errno == EINPROGRESS)
		status = wait_connected(stream, deadline, error);
	else
		status = error_set_errno(error, BW_UNREACHABLE, errno, "connecting to Redis");
	freeaddrinfo(address);
	if (!status)
		setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return status;
}

enum status redis_stream_open(const struct redis_peer *peer, struct redis_tls *tls,
			      deadline_ms deadline, struct redis_stream **ret, struct error *error)
{
	struct redis_stream *stream = xcalloc(1, sizeof(*stream));
	enum status status;

	stream->fd = -1;
	stream->reader = redisReaderCreate();
	status = connect_socket(stream, peer, deadline, error);
	if (!status && tls)
		status = redis_tls_begin(tls, stream->fd, deadline, &stream->tls, error);
	if (status)
		redis_stream_free(stream);
	else
		*ret = stream;
	return status;
}

void redis_stream_free(struct redis_stream *stream)
{
	if (!stream)
		return;
	redis_tls_end(stream->tls);
	if (stream->fd >= 0)
		close(stream->fd);
	redisReaderFree(stream->reader);
	free(stream);
}

static ssize_t write_some(struct redis_stream *stream, const char *bytes, size_t length,
			  short *ret_wants)
{
	*ret_wants = POLLOUT;
	if (stream->tls)
		return redis_tls_write(stream->tls, bytes, length, ret_wants);
	return send(stream->fd, bytes, length, MSG_NOSIGNAL);
}

static ssize_t read_some(struct redis_stream *stream, short *ret_wants)
{
	*ret_wants = POLLIN;
	if (stream->tls)
		return redis_tls_read(stream->tls, stream->buffer, READ_AT_ONCE, ret_wants);
	return recv(stream->fd, stream->buffer, READ_AT_ONCE, 0);
}

static bool must_wait(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

enum status redis_stream_send(struct redis_stream *stream, const char *bytes, size_t length,
			      deadline_ms deadline, struct error *error)
{
	while (length > 0) {
		short wants;
		ssize_t sent = write_some(stream, bytes, length, &wants);
		enum status status = BW_OK;

		if (sent > 0) {
			bytes += sent;
			length -= (size_t)sent;
			continue;
		}
		if (sent < 0 && must_wait())
			status = wait_for(stream, wants, deadline, error);
		else
			status = error_set_errno(error, BW_UNREACHABLE, errno, "writing to Redis");
		if (status)
			return status;
	}
	return BW_OK;
}

static enum status next_reply(struct redis_stream *stream, redisReply **ret, struct error *error)
{
	void *reply = NULL;

	if (redisReaderGetReply(stream->reader, &reply) != REDIS_OK)
		return error_set(error, BW_UNREACHABLE, "Redis answered nonsense: %s",
				 stream->reader->errstr);
	*ret = reply;
	return BW_OK;
}

/* Reads what there is. *ret_wants is not 0: nothing, wait for that. */
static enum status feed(struct redis_stream *stream, short *ret_wants, struct error *error)
{
	short wants;
	ssize_t got = read_some(stream, &wants);

	*ret_wants = 0;
	if (got == 0)
		return error_set(error, BW_UNREACHABLE, "Redis closed the connection");
	if (got < 0 && !must_wait())
		return error_set_errno(error, BW_UNREACHABLE, errno, "reading from Redis");
	if (got < 0) {
		*ret_wants = wants;
		return BW_OK;
	}
	if (stream->reader->len + (size_t)got > REDIS_REPLY_MAX ||
	    redisReaderFeed(stream->reader, stream->buffer, (size_t)got) != REDIS_OK)
		return error_set(error, BW_UNREACHABLE, "Redis answered more than we take");
	return BW_OK;
}

enum status redis_stream_receive(struct redis_stream *stream, deadline_ms deadline,
				 redisReply **ret, struct error *error)
{
	redisReply *reply = NULL;
	enum status status;
	short wants;

	while ((status = next_reply(stream, &reply, error)) == BW_OK && !reply) {
		status = feed(stream, &wants, error);
		/* a server that never stops talking is none that answers, either */
		if (!status && (wants || deadline_passed(deadline)))
			status = wait_for(stream, wants, deadline, error);
		if (status)
			return status;
	}
	if (!status)
		*ret = reply;
	return status;
}

enum status redis_stream_poll(struct redis_stream *stream, redisReply **ret, struct error *error)
{
	redisReply *reply = NULL;
	short wants = 0;
	enum status status;

	while ((status = next_reply(stream, &reply, error)) == BW_OK && !reply && !wants) {
		status = feed(stream, &wants, error);
		if (status)
			return status;
	}
	if (!status)
		*ret = reply;
	return status;
}

int redis_stream_fd(const struct redis_stream *stream)
{
	return stream->fd;
}

bool redis_stream_is_stale(struct redis_stream *stream)
{
	struct pollfd pollfd = {.fd = stream->fd, .events = POLLIN};

	return poll(&pollfd, 1, 0) != 0;
}
