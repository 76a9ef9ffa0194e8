#include "server/http/range.h"

#include "server/base/str.h"

#include <stddef.h>
#include <string.h>

static const char *skip_space(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* Digits at *at as a number, UINT64_MAX when there are too many for one: no
 * size gets that far. False when there is no digit. */
static bool take_number(const char **at, uint64_t *ret)
{
	size_t length = strspn(*at, "0123456789");

	if (length == 0)
		return false;
	if (!str_parse_u64(*at, length, ret))
		*ret = UINT64_MAX;
	*at += length;
	return true;
}

/* "-500": the last 500 bytes. */
static enum range_result suffix_range(uint64_t wanted, uint64_t size, struct byte_range *ret)
{
	if (wanted == 0 || size == 0)
		return RANGE_UNSATISFIABLE;
	if (wanted > size)
		wanted = size;
	*ret = (struct byte_range){.first = size - wanted, .length = wanted};
	return RANGE_PART;
}

static enum range_result int_range(uint64_t first, uint64_t last, uint64_t size,
				   struct byte_range *ret)
{
	if (first >= size)
		return RANGE_UNSATISFIABLE;
	if (last >= size)
		last = size - 1;
	*ret = (struct byte_range){.first = first, .length = last - first + 1};
	return RANGE_PART;
}

enum range_result range_parse(const char *value, uint64_t size, struct byte_range *ret)
{
	uint64_t first = 0;
	uint64_t last = UINT64_MAX;
	bool has_first, has_last;
	const char *at;

	if (!value || strlen(value) < 6)
		return RANGE_WHOLE;
	for (size_t i = 0; i < 5; i++) {
		if (ascii_lower(value[i]) != "bytes"[i])
			return RANGE_WHOLE;
	}
	if (value[5] != '=')
		return RANGE_WHOLE;
	at = skip_space(value + 6);
	has_first = take_number(&at, &first);
	if (*at != '-')
		return RANGE_WHOLE;
	at++;
	has_last = take_number(&at, &last);
	if (*skip_space(at) != '\0' || (!has_first && !has_last))
		return RANGE_WHOLE;
	if (!has_first)
		return suffix_range(last, size, ret);
	if (last < first)
		return RANGE_UNSATISFIABLE;
	return int_range(first, last, size, ret);
}

bool etag_listed(const char *value, const char *etag)
{
	size_t length = strlen(etag);

	if (!value)
		return false;
	value = skip_space(value);
	if (*value == '*')
		return *skip_space(value + 1) == '\0';
	while (*value) {
		const char *end;

		if (str_starts_with(value, "W/"))
			value += 2;
		if (*value != '"')
			return false;
		end = strchr(value + 1, '"');
		if (!end)
			return false;
		if ((size_t)(end + 1 - value) == length && memcmp(value, etag, length) == 0)
			return true;
		value = skip_space(end + 1);
		if (*value != ',')
			return false;
		value = skip_space(value + 1);
	}
	return false;
}

bool etag_allows_range(const char *if_range, const char *etag)
{
	size_t length = strlen(etag);

	if (!if_range)
		return true;
	if_range = skip_space(if_range);
	return strncmp(if_range, etag, length) == 0 && *skip_space(if_range + length) == '\0';
}
