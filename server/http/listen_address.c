#include "server/http/listen_address.h"

#include "server/base/str.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define HOST_SIZE 256

/* "host:port" or "[host]:port". */
static bool split(const char *text, char host[HOST_SIZE], unsigned *ret_port)
{
	const char *colon = strrchr(text, ':');
	size_t length;
	uint64_t port;

	if (!colon || !str_parse_u64(colon + 1, strlen(colon + 1), &port) || port > 65535)
		return false;
	length = (size_t)(colon - text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	} else if (memchr(text, ':', length)) {
		return false; /* an IPv6 address without its brackets */
	}
	if (length >= HOST_SIZE)
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	*ret_port = (unsigned)port;
	return true;
}

static int look_up(const char *host, struct listen_address *ret)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found;
	int result = getaddrinfo(host, NULL, &hints, &found);

	if (result != 0)
		return result;
	ret->is_ipv6 = found->ai_family == AF_INET6;
	result = getnameinfo(found->ai_addr, found->ai_addrlen, ret->host, sizeof(ret->host), NULL,
			     0, NI_NUMERICHOST);
	freeaddrinfo(found);
	return result;
}

enum status listen_address_resolve(const char *key, const char *text, struct listen_address *ret,
				   struct error *error)
{
	struct listen_address address = {0};
	char host[HOST_SIZE];
	int result;

	if (!split(text, host, &address.port))
		return error_set(error, BW_INVALID, "%s: \"%s\" is not host:port", key, text);
	if (!*host || strcmp(host, "::") == 0) {
		address.any = true;
		*ret = address;
		return BW_OK;
	}
	result = look_up(host, &address);
	if (result != 0)
		return error_set(error, BW_IO, "%s: cannot listen on %s: %s", key, text,
				 gai_strerror(result));
	*ret = address;
	return BW_OK;
}
