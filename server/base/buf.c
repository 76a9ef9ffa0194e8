#include "server/base/buf.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 128

/* Makes room for `more` bytes and a NUL behind them. */
static bool reserve(struct buf *buf, size_t more)
{
	size_t limit = buf->max < SIZE_MAX ? buf->max + 1 : SIZE_MAX;
	size_t capacity = buf->capacity ? buf->capacity : SMALLEST;

	if (buf->overflow || more >= limit - buf->length) {
		buf->overflow = true;
		return false;
	}
	if (buf->length + more < buf->capacity)
		return true;
	while (capacity <= buf->length + more && capacity <= SIZE_MAX / 2)
		capacity *= 2;
	if (capacity > limit || capacity <= buf->length + more)
		capacity = limit;
	buf->data = xrealloc(buf->data, capacity);
	buf->capacity = capacity;
	return true;
}

void buf_release(struct buf *buf)
{
	free(buf->data);
	*buf = BUF_INIT(buf->max);
}

void buf_reset(struct buf *buf)
{
	buf->length = 0;
	buf->overflow = false;
	if (buf->data)
		buf->data[0] = '\0';
}

void buf_append(struct buf *buf, const void *bytes, size_t length)
{
	if (!reserve(buf, length))
		return;
	if (length)
		memcpy(buf->data + buf->length, bytes, length);
	buf->length += length;
	buf->data[buf->length] = '\0';
}

void buf_append_string(struct buf *buf, const char *string)
{
	buf_append(buf, string, strlen(string));
}

void buf_append_char(struct buf *buf, char c)
{
	buf_append(buf, &c, 1);
}

void buf_append_u64(struct buf *buf, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	buf_append(buf, digits + at, sizeof(digits) - at);
}

void buf_append_double(struct buf *buf, double number)
{
	char text[40];

	if (isnan(number)) {
		buf_append_string(buf, "NaN");
		return;
	}
	if (isinf(number)) {
		buf_append_string(buf, number > 0 ? "+Inf" : "-Inf");
		return;
	}
	snprintf(text, sizeof(text), "%.15g", number);
	if (strtod(text, NULL) != number)
		snprintf(text, sizeof(text), "%.17g", number);
	buf_append_string(buf, text);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list arguments;
	int length;

	if (!reserve(buf, 0))
		return;
	va_start(arguments, format);
	length = vsnprintf(buf->data + buf->length, buf->capacity - buf->length, format, arguments);
	va_end(arguments);
	if (length < 0 || !reserve(buf, (size_t)length)) {
		buf->overflow = true;
		buf->data[buf->length] = '\0';
		return;
	}
	va_start(arguments, format);
	vsnprintf(buf->data + buf->length, buf->capacity - buf->length, format, arguments);
	va_end(arguments);
	buf->length += (size_t)length;
}

static void append_json_escape(struct buf *buf, unsigned code)
{
	static const char short_forms[] = {
		['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
		['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't',
	};

	if (code < sizeof(short_forms) && short_forms[code]) {
		buf_append_char(buf, '\\');
		buf_append_char(buf, short_forms[code]);
	} else {
		buf_printf(buf, "\\u%04x", code);
	}
}

/* C1 controls count as control bytes too: a terminal obeys U+009B like ESC [. */
static bool is_c1_control(const char *string, size_t sequence)
{
	return sequence == 2 && (unsigned char)string[0] == 0xc2 && (unsigned char)string[1] < 0xa0;
}

void buf_append_json(struct buf *buf, const char *string, size_t length)
{
	size_t plain = 0; /* where the run of bytes that need no escape began */

	buf_append_char(buf, '"');
	for (size_t i = 0; i < length;) {
		unsigned char c = (unsigned char)string[i];
		size_t step = c < 0x80 ? 1 : str_utf8_length(string + i, length - i);

		if (step == 1 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
			i++;
			continue;
		}
		if (step > 1 && !is_c1_control(string + i, step)) {
			i += step;
			continue;
		}
		buf_append(buf, string + plain, i - plain);
		if (step == 0)
			buf_append_string(buf, "\xef\xbf\xbd");
		else
			append_json_escape(buf, step == 1 ? c : (unsigned char)string[i + 1]);
		i += step ? step : 1;
		plain = i;
	}
	if (plain < length) /* an empty string may be NULL */
		buf_append(buf, string + plain, length - plain);
	buf_append_char(buf, '"');
}

void buf_append_percent(struct buf *buf, const char *string, const char *keep)
{
	static const char digits[] = "0123456789ABCDEF";

	for (; *string; string++) {
		unsigned char c = (unsigned char)*string;

		if (ascii_is_alnum(*string) || strchr("-._~", c) || (keep && strchr(keep, c))) {
			buf_append_char(buf, *string);
		} else {
			const char escape[3] = {'%', digits[c >> 4], digits[c & 15]};

			buf_append(buf, escape, sizeof(escape));
		}
	}
}

const char *buf_string(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

char *buf_detach(struct buf *buf, size_t *ret_length)
{
	char *data = NULL;

	if (!buf->overflow) {
		data = buf->data ? buf->data : xstrdup("");
		if (ret_length)
			*ret_length = buf->length;
		buf->data = NULL;
	}
	buf_release(buf);
	return data;
}
