#include "server/oci/media_type.h"

#include "server/base/str.h"

#include <string.h>

#define NAME_MAX_LENGTH 127 /* RFC 6838, 4.2 */

bool media_type_is_index(const char *media_type)
{
	return str_equals_ignore_case(media_type, MEDIA_OCI_INDEX) ||
	       str_equals_ignore_case(media_type, MEDIA_DOCKER_LIST);
}

bool media_type_is_schema1(const char *media_type)
{
	return str_equals_ignore_case(media_type, MEDIA_DOCKER_SCHEMA1) ||
	       str_equals_ignore_case(media_type, MEDIA_DOCKER_SCHEMA1_SIGNED);
}

/* The length of the restricted-name (RFC 6838, 4.2) that `text` begins with. */
static size_t restricted_name_length(const char *text)
{
	size_t n = 0;

	if (!ascii_is_alnum(text[0]))
		return 0;
	while (text[n] && (ascii_is_alnum(text[n]) || strchr("!#$&-^_.+", text[n])))
		n++;
	return n <= NAME_MAX_LENGTH ? n : 0;
}

bool media_type_parse(const char *content_type, char *target, size_t target_size)
{
	const char *text = content_type + strspn(content_type, " \t");
	size_t type = restricted_name_length(text);
	size_t subtype;
	size_t length;
	const char *rest;

	if (type == 0 || text[type] != '/')
		return false;
	subtype = restricted_name_length(text + type + 1);
	if (subtype == 0)
		return false;
	length = type + 1 + subtype;
	rest = text + length + strspn(text + length, " \t");
	if ((*rest != '\0' && *rest != ';') || length >= target_size)
		return false;
	for (size_t i = 0; i < length; i++)
		target[i] = ascii_lower(text[i]);
	target[length] = '\0';
	return true;
}
