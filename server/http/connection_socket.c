#include "server/http/connection_socket.h"

#include "server/base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#define LINGER_MS 1000
#define LINGER_BYTES ((size_t)64 << 20)

void connection_close_lingering(struct connection *connection)
{
	int socket = connection_socket(connection);
	deadline_ms deadline = deadline_in(LINGER_MS);
	size_t left = LINGER_BYTES;

	connection_close_after(connection);
	shutdown(socket, SHUT_WR);
	while (left > 0) {
		struct pollfd wait = {.fd = socket, .events = POLLIN};
		ssize_t length;

		if (poll(&wait, 1, (int)deadline_left_ms(deadline)) <= 0)
			return;
		/* thrown away where they are (tcp(7)) */
		length = recv(socket, NULL, left, MSG_TRUNC | MSG_DONTWAIT);
		if (length <= 0)
			return;
		left -= (size_t)length;
	}
}

static ssize_t written_or_reason(ssize_t result)
{
	if (result >= 0)
		return result;
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

ssize_t connection_try_send(struct connection *connection, const struct iovec *pieces,
			    int piece_count, bool more)
{
	struct msghdr message = {
		.msg_iov = (struct iovec *)pieces,
		.msg_iovlen = (size_t)piece_count,
	};

	return written_or_reason(sendmsg(connection_socket(connection), &message,
					 MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0)));
}

ssize_t connection_try_send_file(struct connection *connection, int file, uint64_t offset,
				 size_t length)
{
	off_t at = (off_t)offset;
	ssize_t result = sendfile(connection_socket(connection), file, &at, length);

	if (result == 0 || (result < 0 && (errno == EIO || errno == EINVAL)))
		return CONNECTION_FILE_ENDED;
	return written_or_reason(result);
}

void connection_wait_writable(struct connection *connection, int timeout_ms)
{
	struct pollfd wait = {.fd = connection_socket(connection), .events = POLLOUT};

	poll(&wait, 1, timeout_ms);
}

/* Not by poll: a draining listener shuts the reading side of what it thinks is
 * idle, which looks to poll like the client's doing. */
bool connection_is_open(const struct connection *connection)
{
	struct tcp_info info;
	socklen_t length = sizeof(info);

	return getsockopt(connection_socket(connection), IPPROTO_TCP, TCP_INFO, &info, &length) ==
		       0 &&
	       info.tcpi_state == TCP_ESTABLISHED;
}
