/*
 * The program's log: one JSON object a line on stderr, or text for people.
 *
 *   {"time":"…","level":"info","msg":"…", then the fields}
 *   2026-01-31T08:05:09.123Z INFO message key=value key="two words"
 *
 * A line is written with a single write(2) of at most PIPE_BUF bytes, so lines
 * of many threads and processes do not mix; what does not fit is shortened and
 * the line says truncated. Values are escaped (control bytes, invalid UTF-8).
 * Nothing secret is ever passed here: no Authorization, no token, no query of a
 * signed URL.
 *
 *   log_event(LOG_WARNING, "upstream failed", LOG_S("upstream", name),
 *             LOG_I("http.response.status", 502));
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_JSON, LOG_TEXT };

enum log_type { LOG_TYPE_STRING, LOG_TYPE_INTEGER, LOG_TYPE_DOUBLE, LOG_TYPE_BOOL };

struct log_field {
	const char *key;
	enum log_type type;
	const char *string; /* NULL: the field is left out */
	int64_t integer;
	double number;
};

#define LOG_S(name, value) \
	((struct log_field){.key = (name), .type = LOG_TYPE_STRING, .string = (value)})
#define LOG_I(name, value) \
	((struct log_field){.key = (name), .type = LOG_TYPE_INTEGER, .integer = (int64_t)(value)})
#define LOG_D(name, value) \
	((struct log_field){.key = (name), .type = LOG_TYPE_DOUBLE, .number = (value)})
#define LOG_B(name, value) \
	((struct log_field){.key = (name), .type = LOG_TYPE_BOOL, .integer = (value)})

/* May be called again at any time (reload). */
void log_configure(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *message, const struct log_field *fields,
	       size_t field_count);

/* Evaluates its fields, of which there may be none, only when the level is on. */
#define log_event(level, message, ...) \
	do { \
		if (log_enabled(level)) { \
			const struct log_field log_fields_[] = {__VA_ARGS__}; \
			log_write((level), (message), log_fields_, \
				  sizeof(log_fields_) / sizeof(log_fields_[0])); \
		} \
	} while (0)

#endif
