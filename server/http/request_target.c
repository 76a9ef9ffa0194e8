#include "server/base/str.h"
#include "server/http/request.h"

#include <string.h>

/* RFC 3986, 3.3: what may stand in a path besides '/' and escapes. */
static bool is_path_char(char c)
{
	return ascii_is_alnum(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@", c) != NULL);
}

static bool is_query_char(char c)
{
	return is_path_char(c) || c == '/' || c == '?';
}

static int hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%XX" at `text` stands for; -1 when it is no escape, or stands
 * for a control byte. */
static int unescape(const char *text, const char *end)
{
	int high, low, byte;

	if (end - text < 3)
		return -1;
	high = hex_value(text[1]);
	low = hex_value(text[2]);
	if (high < 0 || low < 0)
		return -1;
	byte = high * 16 + low;
	return byte < 0x20 || byte == 0x7f ? -1 : byte;
}

/* Decodes text[0..length) into the arena; NULL with *ret_reason when it is not
 * what `allowed` and RFC 3986 permit. */
static char *decode(struct arena *arena, const char *text, size_t length, bool (*allowed)(char),
		    bool plus_is_space, const char **ret_reason)
{
	const char *end = text + length;
	char *target = arena_alloc(arena, length + 1);
	size_t n = 0;

	if (!target) {
		*ret_reason = "the target is too long";
		return NULL;
	}
	while (text < end) {
		int byte = (unsigned char)*text;

		if (*text == '%') {
			byte = unescape(text, end);
			if (byte < 0) {
				*ret_reason = "a percent escape in the target is malformed or "
					      "stands for a control byte";
				return NULL;
			}
			text += 2;
		} else if (!allowed(*text)) {
			*ret_reason = "the target has a byte that RFC 3986 does not allow there";
			return NULL;
		} else if (plus_is_space && *text == '+') {
			byte = ' ';
		}
		target[n++] = (char)byte;
		text++;
	}
	target[n] = '\0';
	return target;
}

static bool is_dots(const char *segment, size_t length)
{
	return (length == 1 && segment[0] == '.') ||
	       (length == 2 && segment[0] == '.' && segment[1] == '.');
}

static bool is_path_or_slash(char c)
{
	return is_path_char(c) || c == '/';
}

/* An escaped slash would be one segment to a proxy and two to us. */
static bool has_escaped_slash(const char *path, size_t length)
{
	for (size_t i = 0; i + 2 < length; i++) {
		if (path[i] == '%' && path[i + 1] == '2' && ascii_lower(path[i + 2]) == 'f')
			return true;
	}
	return false;
}

static bool parse_path(const char *text, size_t length, struct arena *arena, struct request *ret,
		       const char **ret_reason)
{
	char *path;

	if (has_escaped_slash(text, length)) {
		*ret_reason = "the path has an escaped slash";
		return false;
	}
	path = decode(arena, text, length, is_path_or_slash, false, ret_reason);
	if (!path)
		return false;
	for (const char *at = path; *at;) {
		const char *segment = at + 1; /* behind a slash */
		size_t segment_length = strcspn(segment, "/");

		at = segment + segment_length;
		if (is_dots(segment, segment_length) || (segment_length == 0 && *at)) {
			*ret_reason = "the path has an empty, \".\" or \"..\" segment";
			return false;
		}
	}
	ret->path = path;
	return true;
}

/* ?tag=1.2&tag=latest of a manifest's push. */
static bool may_repeat(const char *name)
{
	return strcmp(name, "tag") == 0;
}

static bool parse_parameter(const char *text, size_t length, struct arena *arena,
			    struct request *ret, const char **ret_reason)
{
	const char *equals = memchr(text, '=', length);
	size_t name_length = equals ? (size_t)(equals - text) : length;
	struct query_parameter parameter = {.value = ""};

	if (ret->parameter_count == REQUEST_MAX_PARAMETERS) {
		*ret_reason = "the query has too many parameters";
		return false;
	}
	parameter.name = decode(arena, text, name_length, is_query_char, true, ret_reason);
	if (!parameter.name)
		return false;
	if (equals)
		parameter.value = decode(arena, equals + 1, length - name_length - 1, is_query_char,
					 true, ret_reason);
	if (!parameter.value)
		return false;
	if (!may_repeat(parameter.name) && request_parameter(ret, parameter.name)) {
		*ret_reason = "the query has a parameter twice";
		return false;
	}
	ret->parameters[ret->parameter_count++] = parameter;
	return true;
}

static bool parse_query(const char *query, struct arena *arena, struct request *ret,
			const char **ret_reason)
{
	while (*query) {
		size_t length = strcspn(query, "&");

		if (length > 0 && !parse_parameter(query, length, arena, ret, ret_reason))
			return false;
		query += length;
		query += *query == '&';
	}
	return true;
}

/* Skips "http://host:port" of an absolute-form; the authority is handed out as
 * it stands there. */
static const char *skip_authority(const char *target, struct arena *arena,
				  const char **ret_authority, const char **ret_reason)
{
	size_t scheme = str_starts_with(target, "http://") ? 7 : 8;
	size_t length;

	*ret_reason = "the target is neither a path nor an http URL";
	if (scheme == 8 && !str_starts_with(target, "https://"))
		return NULL;
	target += scheme;
	length = strcspn(target, "/?#");
	if (length == 0 || target[length] != '/')
		return NULL;
	*ret_authority = arena_strndup(arena, target, length);
	return *ret_authority ? target + length : NULL;
}

bool request_parse_target(const char *target, struct arena *arena, struct request *ret,
			  const char **ret_authority, const char **ret_reason)
{
	size_t path_length;

	*ret_authority = NULL;
	if (*target != '/') {
		target = skip_authority(target, arena, ret_authority, ret_reason);
		if (!target)
			return false;
	}
	path_length = strcspn(target, "?");
	if (!parse_path(target, path_length, arena, ret, ret_reason))
		return false;
	target += path_length;
	return *target == '\0' || parse_query(target + 1, arena, ret, ret_reason);
}
