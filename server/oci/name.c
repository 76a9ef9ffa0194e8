#include "server/oci/name.h"

#include "server/base/str.h"

#include <string.h>

#define LABEL_MAX 63 /* RFC 1035, 2.3.4 */

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || ascii_is_digit(c);
}

/* The length of what joins two runs at `text`: one of  .  _  __  -+ , or 0. */
static size_t separator_length(const char *text, size_t length)
{
	size_t n = 0;

	if (text[0] == '.')
		return 1;
	if (text[0] == '_')
		return length > 1 && text[1] == '_' ? 2 : 1;
	while (n < length && text[n] == '-')
		n++;
	return n;
}

/* The length of the path component that `text` begins with; 0 when none. */
static size_t component_length(const char *text, size_t length)
{
	size_t end = 0;

	for (;;) {
		size_t run = end;

		while (run < length && is_name_char(text[run]))
			run++;
		if (run == end)
			return 0; /* a separator with nothing on one of its sides */
		end = run;
		if (end == length || text[end] == '/')
			return end;
		run = separator_length(text + end, length - end);
		if (run == 0)
			return 0;
		end += run;
	}
}

bool repository_name_valid(const char *name, size_t length)
{
	size_t start = 0;

	if (length == 0 || length > REPOSITORY_MAX)
		return false;
	for (;;) {
		size_t component = component_length(name + start, length - start);

		if (component == 0)
			return false;
		start += component;
		if (start == length)
			return true;
		start++; /* over the '/' */
	}
}

bool repository_names_registry(const char *name)
{
	const char *slash = strchr(name, '/');
	size_t length = slash ? (size_t)(slash - name) : 0;

	return length > 0 &&
	       (memchr(name, '.', length) || memchr(name, ':', length) ||
		slice_equals((struct slice){.data = name, .length = length}, "localhost"));
}

bool tag_valid(const char *tag, size_t length)
{
	if (length == 0 || length > TAG_MAX || tag[0] == '.' || tag[0] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!ascii_is_alnum(tag[i]) && tag[i] != '.' && tag[i] != '_' && tag[i] != '-')
			return false;
	return true;
}

static bool label_valid(const char *label, size_t length)
{
	if (length == 0 || length > LABEL_MAX || label[0] == '-' || label[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_name_char(label[i]) && label[i] != '-')
			return false;
	return true;
}

static bool all_digits(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (!ascii_is_digit(text[i]))
			return false;
	return length > 0;
}

static bool octet_valid(const char *text, size_t length)
{
	uint64_t value;

	return length <= 3 && (length == 1 || text[0] != '0') &&
	       str_parse_u64(text, length, &value) && value <= 255;
}

/* DNS labels. A name whose last label is a number can only be an address, as
 * the URL standard has it: "10.0.0.300" must not reach a resolver. */
static bool labels_valid(const char *host, size_t length)
{
	const char *end = host + length;
	const char *label = host;
	unsigned labels = 0;
	unsigned octets = 0;

	for (;;) {
		const char *dot = memchr(label, '.', (size_t)(end - label));
		size_t n = (size_t)((dot ? dot : end) - label);

		if (!label_valid(label, n))
			return false;
		labels++;
		octets += octet_valid(label, n);
		if (!dot)
			return !all_digits(label, n) || (labels == 4 && octets == 4);
		label = dot + 1;
	}
}

static bool port_valid(const char *port, size_t length)
{
	uint64_t value;

	return length <= 5 && port[0] != '0' && str_parse_u64(port, length, &value) &&
	       value <= 65535;
}

bool host_normalize(const char *host, size_t length, char target[HOST_MAX + 1])
{
	char lower[HOST_MAX + 1];
	const char *colon;
	size_t name_length;

	if (length == 0 || length > HOST_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		lower[i] = ascii_lower(host[i]);
	lower[length] = '\0';

	colon = memchr(lower, ':', length);
	name_length = colon ? (size_t)(colon - lower) : length;
	if (colon && !port_valid(colon + 1, length - name_length - 1))
		return false;
	if (name_length == 0 || !labels_valid(lower, name_length))
		return false;
	memcpy(target, lower, length + 1);
	return true;
}

bool reference_parse(const char *text, size_t length, struct reference *ret)
{
	struct reference reference = {0};

	if (length == 0 || length >= sizeof(reference.text))
		return false;
	/* A tag has no colon and a digest always has one. */
	reference.is_digest = memchr(text, ':', length) != NULL;
	if (reference.is_digest ? !digest_parse(text, length, &reference.digest)
				: !tag_valid(text, length))
		return false;
	memcpy(reference.text, text, length);
	*ret = reference;
	return true;
}

void reference_from_digest(const struct digest *digest, struct reference *ret)
{
	struct reference reference = {.is_digest = true, .digest = *digest};

	digest_format(digest, reference.text);
	*ret = reference;
}
