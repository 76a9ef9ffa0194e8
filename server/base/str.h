/*
 * Strings: strict parsing of the small things configuration, headers and
 * command lines are made of. Nothing here depends on the locale.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run of bytes inside somebody else's memory; not NUL-terminated. */
struct slice {
	const char *data;
	size_t length;
};

bool slice_equals(struct slice slice, const char *string);

bool str_starts_with(const char *string, const char *prefix);
bool str_ends_with(const char *string, const char *suffix);
bool str_equals_ignore_case(const char *a, const char *b); /* ASCII only */
char ascii_lower(char c);
bool ascii_is_alnum(char c);
bool ascii_is_digit(char c);

/* Copies as much as fits and always terminates. False when it was cut. */
bool str_copy(char *target, size_t target_size, const char *source);

/* Bytes of the well-formed UTF-8 character (RFC 3629) that `bytes` begins with;
 * 0 when it begins with none, or with one that is cut off. */
size_t str_utf8_length(const char *bytes, size_t length);

/* Digits only, no sign, no space, no overflow. False leaves *ret untouched. */
bool str_parse_u64(const char *string, size_t length, uint64_t *ret);

/* "host:port" to connect to: a name, an IPv4 address, or an IPv6 address in brackets, and
 * 1 to 65535. *ret_host_length is up to the colon, brackets included. */
bool str_split_host_port(const char *text, size_t *ret_host_length, unsigned *ret_port);

/* "10MiB", "5GB", "1024": bytes. Units B kB MB GB TB KiB MiB GiB TiB, spelt
 * exactly so. */
bool str_parse_size(const char *string, uint64_t *ret_bytes);

/* "1h30m", "500ms", "10s", "0s", "7d": milliseconds. Units d h m s ms, each at
 * most once and in that order. A bare number other than 0 is refused: nobody
 * remembers which unit it was. */
bool str_parse_duration(const char *string, int64_t *ret_ms);
/* The form str_parse_duration reads ("-" before it when negative). */
void str_format_duration(int64_t ms, char *target, size_t target_size);
void str_format_size(uint64_t bytes, char *target, size_t target_size); /* "1.5 GiB" */

/* Repository and tag patterns: `*` is any run without `/`, `**` any run at
 * all, everything else itself: two stars behind "acme/" match "acme/x/y" but
 * not "acme". Never more than length times length steps, whatever the pattern;
 * what is longer than 512 bytes, pattern or string, matches nothing. */
bool str_glob_match(const char *pattern, const char *string);

/* Edit distance, for "did you mean". Only the first 64 bytes of each count. */
unsigned str_distance(const char *a, const char *b);

/* lower-case hex of `length` bytes into target (2*length+1 bytes). */
void str_hex(const unsigned char *bytes, size_t length, char *target);
/* The reverse; lower-case only. `target` may be half written when false. */
bool str_unhex(const char *hex, size_t hex_length, unsigned char *target);

/* Standard base64 with padding; target NUL-terminated, 4*((n+2)/3)+1 bytes. */
void str_base64(const unsigned char *bytes, size_t length, char *target);

/* Fills with cryptographic random bytes (getrandom); aborts when it cannot. */
void random_bytes(void *target, size_t length);

#endif
