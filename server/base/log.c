#include "server/base/log.h"

#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* What a pipe takes whole: a longer line could mix with another's. */
#define LINE_MAX_BYTES ((size_t)PIPE_BUF)
/* Kept back for what closes a line whose fields did not all fit. */
#define CLOSING_BYTES ((size_t)32)

static _Atomic enum log_level log_level = LOG_INFO;
static _Atomic enum log_format log_format = LOG_JSON;

void log_configure(enum log_level level, enum log_format format)
{
	atomic_store_explicit(&log_level, level, memory_order_relaxed);
	atomic_store_explicit(&log_format, format, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

static const char *level_name(enum log_level level, enum log_format format)
{
	static const char *const names[][2] = {
		[LOG_DEBUG] = {"debug", "DEBUG"},
		[LOG_INFO] = {"info", "INFO"},
		[LOG_WARNING] = {"warning", "WARNING"},
		[LOG_ERROR] = {"error", "ERROR"},
	};

	return names[level][format == LOG_TEXT];
}

/* Takes back what was appended since `mark`. */
static void rewind_to(struct buf *line, size_t mark)
{
	line->length = mark;
	line->data[mark] = '\0';
	line->overflow = false;
}

/* Text for people needs no quotes while it is one word. */
static bool is_word(const char *string, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (!ascii_is_alnum(string[i]) && !memchr("-._/:@+%,", string[i], 9))
			return false;
	}
	return length > 0;
}

static bool is_printable(const char *string, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (string[i] < ' ' || string[i] > '~')
			return false;
	}
	return true;
}

/* Appends as much of the string as the line has room for; false when it had to
 * be shortened. */
static bool append_text(struct buf *line, const char *string, bool bare)
{
	size_t whole = strlen(string);
	size_t length = whole < LINE_MAX_BYTES ? whole : LINE_MAX_BYTES;
	size_t mark = line->length;

	for (;;) {
		if (bare)
			buf_append(line, string, length);
		else
			buf_append_json(line, string, length);
		if (!line->overflow || length == 0)
			return length == whole;
		rewind_to(line, mark);
		length /= 2;
		while (length > 0 && ((unsigned char)string[length] & 0xc0) == 0x80)
			length--; /* not through the middle of a character */
	}
}

static bool append_value(struct buf *line, const struct log_field *field, enum log_format format)
{
	switch (field->type) {
	case LOG_TYPE_STRING:
		return append_text(line, field->string,
				   format == LOG_TEXT &&
					   is_word(field->string, strlen(field->string)));
	case LOG_TYPE_INTEGER:
		buf_printf(line, "%" PRId64, field->integer);
		break;
	case LOG_TYPE_DOUBLE:
		if (isfinite(field->number))
			buf_append_double(line, field->number);
		else
			buf_append_string(line, "null");
		break;
	case LOG_TYPE_BOOL:
		buf_append_string(line, field->integer ? "true" : "false");
		break;
	}
	return true;
}

/* False when the field does not stand there whole. */
static bool append_field(struct buf *line, const struct log_field *field, enum log_format format)
{
	size_t mark = line->length;
	bool whole;

	if (field->type == LOG_TYPE_STRING && !field->string)
		return true;
	if (format == LOG_JSON) {
		buf_append_char(line, ',');
		buf_append_json(line, field->key, strlen(field->key));
		buf_append_char(line, ':');
	} else {
		buf_append_char(line, ' ');
		buf_append_string(line, field->key);
		buf_append_char(line, '=');
	}
	whole = !line->overflow && append_value(line, field, format);
	if (line->overflow) {
		rewind_to(line, mark);
		whole = false;
	}
	return whole;
}

static bool append_head(struct buf *line, enum log_level level, const char *message,
			enum log_format format)
{
	char time[CLOCK_TEXT_SIZE];

	clock_format_rfc3339(clock_wall_ms(), time);
	if (format == LOG_JSON)
		buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", time,
			   level_name(level, format));
	else
		buf_printf(line, "%s %s ", time, level_name(level, format));
	return append_text(line, message,
			   format == LOG_TEXT && is_printable(message, strlen(message)));
}

/* There is nobody to tell when the log itself cannot be written. */
static void put_line(const struct buf *line)
{
	while (write(STDERR_FILENO, line->data, line->length) < 0 && errno == EINTR)
		continue;
}

void log_write(enum log_level level, const char *message, const struct log_field *fields,
	       size_t field_count)
{
	enum log_format format = atomic_load_explicit(&log_format, memory_order_relaxed);
	struct buf line = BUF_INIT(LINE_MAX_BYTES - CLOSING_BYTES);
	int saved_errno = errno;
	bool whole;

	if (!log_enabled(level))
		return;
	whole = append_head(&line, level, message ? message : "", format);
	for (size_t i = 0; i < field_count; i++)
		whole &= append_field(&line, &fields[i], format);
	line.max = LINE_MAX_BYTES;
	if (!whole)
		buf_append_string(&line,
				  format == LOG_JSON ? ",\"truncated\":true" : " truncated=true");
	buf_append_string(&line, format == LOG_JSON ? "}\n" : "\n");
	put_line(&line);
	buf_release(&line);
	errno = saved_errno;
}
