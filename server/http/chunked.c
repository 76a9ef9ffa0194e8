#include "server/http/chunked.h"

#include "server/base/str.h"

#include <string.h>

#define MAX_DIGITS 15

static int hex_digit(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum chunked_state step_size(struct chunked *chunked, char c)
{
	int digit = hex_digit(c);

	if (digit >= 0) {
		if (chunked->line > MAX_DIGITS)
			return CHUNKED_MALFORMED;
		chunked->left = chunked->left * 16 + (uint64_t)digit;
		return CHUNKED_SIZE;
	}
	if (chunked->state == CHUNKED_SIZE_BEGINS)
		return CHUNKED_MALFORMED;
	if (c == ';')
		return CHUNKED_EXTENSION;
	return c == '\r' ? CHUNKED_SIZE_LF : CHUNKED_MALFORMED;
}

static enum chunked_state step_size_lf(struct chunked *chunked, char c)
{
	if (c != '\n')
		return CHUNKED_MALFORMED;
	chunked->line = 0;
	return chunked->left > 0 ? CHUNKED_DATA : CHUNKED_TRAILER_BEGINS;
}

static enum chunked_state step_data_lf(struct chunked *chunked, char c)
{
	chunked->line = 0;
	chunked->left = 0;
	return c == '\n' ? CHUNKED_SIZE_BEGINS : CHUNKED_MALFORMED;
}

/* Of an extension or a trailer's field: what they say is of no use to us, but
 * they must not be taken for anything else. */
static enum chunked_state step_text(enum chunked_state same, enum chunked_state at_cr, char c)
{
	unsigned char byte = (unsigned char)c;

	if (c == '\r')
		return at_cr;
	return (byte < 0x20 && c != '\t') || byte == 0x7f ? CHUNKED_MALFORMED : same;
}

static enum chunked_state step_trailer_name(enum chunked_state state, char c)
{
	if (c == ':')
		return state == CHUNKED_TRAILER_NAME ? CHUNKED_TRAILER_VALUE : CHUNKED_MALFORMED;
	return ascii_is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c))
		       ? CHUNKED_TRAILER_NAME
		       : CHUNKED_MALFORMED;
}

static enum chunked_state step(struct chunked *chunked, char c)
{
	switch (chunked->state) {
	case CHUNKED_SIZE_BEGINS:
	case CHUNKED_SIZE:
		return step_size(chunked, c);
	case CHUNKED_EXTENSION:
		return step_text(CHUNKED_EXTENSION, CHUNKED_SIZE_LF, c);
	case CHUNKED_SIZE_LF:
		return step_size_lf(chunked, c);
	case CHUNKED_DATA_CR:
		return c == '\r' ? CHUNKED_DATA_LF : CHUNKED_MALFORMED;
	case CHUNKED_DATA_LF:
		return step_data_lf(chunked, c);
	case CHUNKED_TRAILER_BEGINS:
		if (c == '\r')
			return CHUNKED_LAST_LF;
		return step_trailer_name(chunked->state, c);
	case CHUNKED_TRAILER_NAME:
		return step_trailer_name(chunked->state, c);
	case CHUNKED_TRAILER_VALUE:
		return step_text(CHUNKED_TRAILER_VALUE, CHUNKED_TRAILER_LF, c);
	case CHUNKED_TRAILER_LF:
		return c == '\n' ? CHUNKED_TRAILER_BEGINS : CHUNKED_MALFORMED;
	case CHUNKED_LAST_LF:
		return c == '\n' ? CHUNKED_DONE : CHUNKED_MALFORMED;
	default:
		return CHUNKED_MALFORMED;
	}
}

static void take_framing(struct chunked *chunked, char c)
{
	size_t max =
		chunked->state >= CHUNKED_TRAILER_BEGINS ? CHUNKED_MAX_TRAILER : CHUNKED_MAX_LINE;

	if (++chunked->line > max)
		chunked->state = CHUNKED_MALFORMED;
	else
		chunked->state = step(chunked, c);
}

/* Moves what there is of the chunk's data to the front; returns how much. */
static size_t take_data(struct chunked *chunked, char *target, const char *data, size_t length)
{
	if (length > chunked->left)
		length = (size_t)chunked->left;
	if (target != data)
		memmove(target, data, length);
	chunked->left -= length;
	if (chunked->left == 0)
		chunked->state = CHUNKED_DATA_CR;
	return length;
}

void chunked_decode(struct chunked *chunked, char *bytes, size_t length, size_t *ret_used,
		    size_t *ret_content)
{
	size_t used = 0;
	size_t content = 0;

	while (used < length && chunked->state < CHUNKED_DONE) {
		if (chunked->state == CHUNKED_DATA) {
			size_t taken =
				take_data(chunked, bytes + content, bytes + used, length - used);

			used += taken;
			content += taken;
		} else {
			take_framing(chunked, bytes[used]);
			used += chunked->state != CHUNKED_MALFORMED;
		}
	}
	*ret_used = used;
	*ret_content = content;
}
