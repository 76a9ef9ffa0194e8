#include "server/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

bool slice_equals(struct slice slice, const char *string)
{
	return strlen(string) == slice.length &&
	       (slice.length == 0 || memcmp(slice.data, string, slice.length) == 0);
}

bool str_starts_with(const char *string, const char *prefix)
{
	return strncmp(string, prefix, strlen(prefix)) == 0;
}

bool str_ends_with(const char *string, const char *suffix)
{
	size_t length = strlen(string);
	size_t suffix_length = strlen(suffix);

	return suffix_length <= length && strcmp(string + length - suffix_length, suffix) == 0;
}

char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool ascii_is_alnum(char c)
{
	char lower = ascii_lower(c);

	return ascii_is_digit(c) || (lower >= 'a' && lower <= 'z');
}

bool str_equals_ignore_case(const char *a, const char *b)
{
	for (; *a && ascii_lower(*a) == ascii_lower(*b); a++)
		b++;
	return *a == '\0' && *b == '\0';
}

bool str_copy(char *target, size_t target_size, const char *source)
{
	size_t length = strlen(source);

	if (target_size == 0)
		return false;
	if (length < target_size) {
		memcpy(target, source, length + 1);
		return true;
	}
	memcpy(target, source, target_size - 1);
	target[target_size - 1] = '\0';
	return false;
}

/* What the second byte may be (RFC 3629, 4): no over-long form, no surrogate,
 * nothing above U+10FFFF. */
static bool utf8_second_fits(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0 && second <= 0xbf;
	case 0xed:
		return second >= 0x80 && second <= 0x9f;
	case 0xf0:
		return second >= 0x90 && second <= 0xbf;
	case 0xf4:
		return second >= 0x80 && second <= 0x8f;
	default:
		return second >= 0x80 && second <= 0xbf;
	}
}

size_t str_utf8_length(const char *bytes, size_t length)
{
	const unsigned char *c = (const unsigned char *)bytes;
	size_t size;

	if (length == 0 || (c[0] >= 0x80 && c[0] < 0xc2) || c[0] > 0xf4)
		return 0;
	size = c[0] < 0x80 ? 1 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
	if (size > length || (size > 1 && !utf8_second_fits(c[0], c[1])))
		return 0;
	for (size_t i = 2; i < size; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	}
	return size;
}

bool str_parse_u64(const char *string, size_t length, uint64_t *ret)
{
	uint64_t number = 0;

	if (length == 0)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!ascii_is_digit(string[i]) || __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(string[i] - '0'), &number))
			return false;
	}
	*ret = number;
	return true;
}

/* The bytes of a host, as they may stand in a URL. */
static bool is_host(const char *host, size_t length)
{
	bool bracketed = length > 2 && host[0] == '[' && host[length - 1] == ']';

	for (size_t i = bracketed; i < length - bracketed; i++) {
		if (!ascii_is_alnum(host[i]) && !strchr(bracketed ? ":." : "-._", host[i]))
			return false;
	}
	return length > 0;
}

bool str_split_host_port(const char *text, size_t *ret_host_length, unsigned *ret_port)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;

	if (!colon || !is_host(text, (size_t)(colon - text)) ||
	    !str_parse_u64(colon + 1, strlen(colon + 1), &port) || port == 0 || port > 65535)
		return false;
	*ret_host_length = (size_t)(colon - text);
	*ret_port = (unsigned)port;
	return true;
}

bool str_parse_size(const char *string, uint64_t *ret_bytes)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} units[] = {
		{"", 1},
		{"B", 1},
		{"kB", 1000},
		{"MB", 1000000},
		{"GB", 1000000000},
		{"TB", 1000000000000},
		{"KiB", UINT64_C(1) << 10},
		{"MiB", UINT64_C(1) << 20},
		{"GiB", UINT64_C(1) << 30},
		{"TiB", UINT64_C(1) << 40},
	};
	size_t digits = strspn(string, "0123456789");
	uint64_t number, bytes;

	if (!str_parse_u64(string, digits, &number))
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(string + digits, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(number, units[i].bytes, &bytes))
			return false;
		*ret_bytes = bytes;
		return true;
	}
	return false;
}

/* From the longest to the shortest, the order in which they are written. */
static const struct duration_unit {
	const char *name;
	int64_t ms;
} duration_units[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

#define DURATION_UNITS (sizeof(duration_units) / sizeof(duration_units[0]))

bool str_parse_duration(const char *string, int64_t *ret_ms)
{
	size_t unit = 0; /* the first that may still come */
	int64_t total = 0;

	if (strcmp(string, "0") == 0) {
		*ret_ms = 0;
		return true;
	}
	do {
		size_t digits = strspn(string, "0123456789");
		size_t letters = strcspn(string + digits, "0123456789");
		struct slice name = {string + digits, letters};
		uint64_t number;
		int64_t ms;

		if (!str_parse_u64(string, digits, &number))
			return false;
		while (unit < DURATION_UNITS && !slice_equals(name, duration_units[unit].name))
			unit++;
		if (unit == DURATION_UNITS ||
		    __builtin_mul_overflow(number, duration_units[unit].ms, &ms) ||
		    __builtin_add_overflow(total, ms, &total))
			return false;
		unit++;
		string += digits + letters;
	} while (*string);
	*ret_ms = total;
	return true;
}

void str_format_duration(int64_t ms, char *target, size_t target_size)
{
	uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
	char text[64];
	size_t length = 0;

	if (ms < 0)
		text[length++] = '-';
	for (size_t i = 0; i < DURATION_UNITS; i++) {
		uint64_t size = (uint64_t)duration_units[i].ms;

		if (left < size)
			continue;
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%" PRIu64 "%s",
					   left / size, duration_units[i].name);
		left %= size;
	}
	text[length] = '\0';
	str_copy(target, target_size, ms ? text : "0s");
}

void str_format_size(uint64_t bytes, char *target, size_t target_size)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	size_t unit = 0;
	uint64_t whole, tenths, rest;

	while (unit < 6 && bytes >> (10 * (unit + 1)))
		unit++;
	if (unit == 0) {
		snprintf(target, target_size, "%" PRIu64 " B", bytes);
		return;
	}
	/* integers only: printf's decimal point is the locale's */
	whole = bytes >> (10 * unit);
	rest = bytes & ((UINT64_C(1) << (10 * unit)) - 1);
	tenths = (rest * 10 + (UINT64_C(1) << (10 * unit - 1))) >> (10 * unit);
	if (tenths == 10) {
		whole++;
		tenths = 0;
	}
	if (whole == 1024 && unit < 6) {
		whole = 1;
		unit++;
	}
	snprintf(target, target_size, "%" PRIu64 ".%u %s", whole, (unsigned)tenths, units[unit]);
}

#define GLOB_MAX 512

enum { GLOB_STAR = 256, GLOB_DOUBLE_STAR }; /* beside the 256 literal bytes */

static size_t glob_compile(const char *pattern, unsigned short *tokens)
{
	size_t count = 0;

	while (*pattern) {
		if (pattern[0] == '*' && pattern[1] == '*') {
			tokens[count++] = GLOB_DOUBLE_STAR;
			pattern += 2;
		} else {
			tokens[count++] = *pattern == '*' ? GLOB_STAR : (unsigned char)*pattern;
			pattern++;
		}
	}
	return count;
}

static void glob_skip_stars(const unsigned short *tokens, size_t count, bool *active)
{
	for (size_t i = 0; i < count; i++) {
		if (active[i] && tokens[i] >= GLOB_STAR)
			active[i + 1] = true;
	}
}

/* All positions of the pattern that the string so far can have led to are
 * followed at once: no backtracking, so no pattern and no name that is slow. */
static bool glob_run(const char *pattern, const char *string)
{
	unsigned short tokens[GLOB_MAX];
	bool active[GLOB_MAX + 1] = {true};
	size_t count = glob_compile(pattern, tokens);

	glob_skip_stars(tokens, count, active);
	for (; *string; string++) {
		unsigned char c = (unsigned char)*string;
		bool any = false;

		for (size_t i = count + 1; i-- > 0;) {
			bool stays = i < count && active[i] &&
				     (tokens[i] == GLOB_DOUBLE_STAR ||
				      (tokens[i] == GLOB_STAR && c != '/'));
			bool enters = i > 0 && active[i - 1] && tokens[i - 1] == c;

			active[i] = stays || enters;
			any |= active[i];
		}
		if (!any)
			return false;
		glob_skip_stars(tokens, count, active);
	}
	return active[count];
}

bool str_glob_match(const char *pattern, const char *string)
{
	if (strnlen(pattern, GLOB_MAX + 1) > GLOB_MAX || strnlen(string, GLOB_MAX + 1) > GLOB_MAX)
		return false;
	/* most patterns are decided by what stands before their first star */
	for (; *pattern && *pattern != '*'; pattern++, string++) {
		if (*pattern != *string)
			return false;
	}
	if (*pattern == '\0')
		return *string == '\0';
	if (strcmp(pattern, "**") == 0)
		return true;
	return glob_run(pattern, string);
}

#define DISTANCE_MAX 64

unsigned str_distance(const char *a, const char *b)
{
	size_t a_length = strnlen(a, DISTANCE_MAX);
	size_t b_length = strnlen(b, DISTANCE_MAX);
	unsigned row[DISTANCE_MAX + 1];

	for (size_t j = 0; j <= b_length; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_length];
}

void str_hex(const unsigned char *bytes, size_t length, char *target)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < length; i++) {
		*target++ = digits[bytes[i] >> 4];
		*target++ = digits[bytes[i] & 15];
	}
	*target = '\0';
}

static int hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool str_unhex(const char *hex, size_t hex_length, unsigned char *target)
{
	if (hex_length % 2)
		return false;
	for (size_t i = 0; i < hex_length; i += 2) {
		int high = hex_value(hex[i]);
		int low = hex_value(hex[i + 1]);

		if (high < 0 || low < 0)
			return false;
		target[i / 2] = (unsigned char)(high << 4 | low);
	}
	return true;
}

void str_base64(const unsigned char *bytes, size_t length, char *target)
{
	base64_encode_raw(target, length, bytes);
	target[BASE64_ENCODE_RAW_LENGTH(length)] = '\0';
}

void random_bytes(void *target, size_t length)
{
	char *at = target;

	while (length) {
		ssize_t got = getrandom(at, length, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort();
		at += got;
		length -= (size_t)got;
	}
}
