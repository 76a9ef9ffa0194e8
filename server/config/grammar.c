#include "server/config/grammar.h"

#include "server/base/str.h"
#include "server/oci/name.h"

#include <arpa/inet.h>
#include <string.h>

#define NAME_MAX_LENGTH 63
#define PATTERN_MAX_LENGTH 512 /* what str_glob_match looks at */
#define URL_MAX_LENGTH 2048

/* A port, digits only; `least` is 0 where any free port may be asked for. */
static bool is_port(const char *text, size_t length, uint64_t least)
{
	uint64_t port;

	return length <= 5 && str_parse_u64(text, length, &port) && port >= least && port <= 65535;
}

static bool is_ipv4(const char *text, size_t length)
{
	char copy[INET_ADDRSTRLEN];
	struct in_addr address;

	if (length >= sizeof(copy))
		return false;
	memcpy(copy, text, length);
	copy[length] = '\0';
	return inet_pton(AF_INET, copy, &address) == 1;
}

/* An IPv6 address with its brackets. */
static bool is_ipv6(const char *text, size_t length)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (length < 2 || text[0] != '[' || text[length - 1] != ']' || length - 2 >= sizeof(copy))
		return false;
	memcpy(copy, text + 1, length - 2);
	copy[length - 2] = '\0';
	return inet_pton(AF_INET6, copy, &address) == 1;
}

const char *grammar_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t length;

	if (!colon || !is_port(colon + 1, strlen(colon + 1), 0))
		return "it is not host:port, such as \"127.0.0.1:5000\" or \"[::1]:5000\"";
	length = (size_t)(colon - text);
	if (length == 0 || is_ipv4(text, length) || is_ipv6(text, length))
		return NULL;
	if (length == strlen("localhost") && strncmp(text, "localhost", length) == 0)
		return NULL;
	return "the host to listen on is an IPv4 address, an IPv6 address in brackets, "
	       "localhost, or nothing (every interface)";
}

/* The host of a URL, to be resolved. Wider than a registry's name: container
 * engines give hosts names with '_'. */
static bool is_url_host(const char *text, size_t length)
{
	if (length == 0 || length > HOST_MAX || text[0] == '.' || text[0] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!ascii_is_alnum(text[i]) && !strchr(".-_", text[i]))
			return false;
	return true;
}

static const char *check_authority(const char *text, size_t length)
{
	const char *colon = NULL;
	size_t host;

	if (memchr(text, '@', length))
		return "a user or password does not belong in a URL; use `credentials`";
	for (size_t i = 0; i < length; i++)
		if (text[i] == ':' && !(text[0] == '[' && memchr(text + i, ']', length - i)))
			colon = text + i;
	host = colon ? (size_t)(colon - text) : length;
	if (colon && !is_port(colon + 1, length - host - 1, 1))
		return "its port is not a number from 1 to 65535";
	if (!is_ipv6(text, host) && !is_url_host(text, host))
		return "it has no host, or one with characters that a host cannot have";
	return NULL;
}

static const char *check_path(const char *path)
{
	static const char allowed[] = "/-._~!$&'()*+,;=:@%";

	for (const char *c = path; *c; c++)
		if (!ascii_is_alnum(*c) && !strchr(allowed, *c))
			return "its path has a character that a URL's path cannot have";
	if (strstr(path, "//") || strstr(path, "/../") || str_ends_with(path, "/.."))
		return "its path has an empty segment or \"..\"";
	return NULL;
}

const char *grammar_url(const char *text)
{
	const char *authority = text;
	const char *problem;
	size_t length;

	if (str_starts_with(text, "https://"))
		authority += strlen("https://");
	else if (str_starts_with(text, "http://"))
		authority += strlen("http://");
	else
		return "it does not begin with https:// or http://";
	if (strlen(text) > URL_MAX_LENGTH)
		return "it is too long";
	if (strchr(text, '?') || strchr(text, '#'))
		return "it has a query or a fragment";
	length = strcspn(authority, "/");
	problem = check_authority(authority, length);
	return problem ? problem : check_path(authority + length);
}

const char *grammar_origin(const char *text)
{
	const char *problem = grammar_url(text);
	const char *slash;

	if (problem)
		return problem;
	slash = strchr(strstr(text, "//") + 2, '/');
	return slash && slash[1] ? "it has a path; only scheme://host[:port] counts" : NULL;
}

const char *grammar_host(const char *text)
{
	char normal[HOST_MAX + 1];

	if (host_normalize(text, strlen(text), normal))
		return NULL;
	if (strstr(text, "://") || strchr(text, '/'))
		return "it is a registry's host as images are named, such as quay.io, without "
		       "scheme and path";
	return "it is not a registry's host, such as quay.io or registry.test:5000";
}

const char *grammar_name(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > NAME_MAX_LENGTH || !ascii_is_alnum(text[0]))
		return "a name begins with a letter or digit and has 63 characters at most";
	for (const char *c = text; *c; c++)
		if (!ascii_is_alnum(*c) && !strchr("._-", *c))
			return "a name has letters, digits, '.', '_' and '-'";
	return NULL;
}

/* Whether all of it is `*`, letters, digits and `others`. */
static const char *check_pattern(const char *text, const char *others)
{
	size_t length = strlen(text);

	if (length == 0)
		return "an empty pattern matches nothing; \"**\" matches everything";
	if (length > PATTERN_MAX_LENGTH)
		return "a pattern has 512 characters at most";
	if (strstr(text, "***"))
		return "there is `*` (without '/') and `**` (anything), nothing longer";
	for (const char *c = text; *c; c++)
		if (!ascii_is_alnum(*c) && *c != '*' && !strchr(others, *c))
			return "it has a character that no name has, and matches nothing; only `*` "
			       "and `**` are special";
	return NULL;
}

const char *grammar_repository_pattern(const char *text)
{
	const char *problem = check_pattern(text, "._-/");

	if (problem)
		return problem;
	for (const char *c = text; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			return "repositories are lower case, and this matches none";
	if (text[0] == '/' || str_ends_with(text, "/") || strstr(text, "//"))
		return "no repository begins or ends with '/' or has two in a row";
	return NULL;
}

const char *grammar_tag_pattern(const char *text)
{
	return check_pattern(text, "._-");
}
