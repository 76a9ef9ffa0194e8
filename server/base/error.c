#include "server/base/error.h"

#include "server/base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_SIZE sizeof(((struct error *)NULL)->message)

/* Arguments often come from a peer, and what we print is one line: control
 * bytes are blanked, and a cut never leaves half a character behind. */
static void tidy(char *message)
{
	size_t length = strlen(message);

	for (size_t i = 0; i < length;) {
		size_t step = str_utf8_length(message + i, length - i);

		if (step == 0 && length == MESSAGE_SIZE - 1 && length - i < 4) {
			message[i] = '\0';
			return;
		}
		if ((unsigned char)message[i] < 0x20 || message[i] == 0x7f)
			message[i] = ' ';
		i += step ? step : 1;
	}
}

/* Through a copy: the arguments may lie in error->message. */
static void store(struct error *error, enum status code, const char *message)
{
	error->code = code;
	error->retry_after = 0;
	error->http_status = 0;
	str_copy(error->message, sizeof(error->message), message);
	tidy(error->message);
}

enum status error_set(struct error *error, enum status code, const char *format, ...)
{
	char message[MESSAGE_SIZE];
	va_list arguments;

	if (!error)
		return code;
	va_start(arguments, format);
	if (vsnprintf(message, sizeof(message), format, arguments) < 0)
		str_copy(message, sizeof(message), format);
	va_end(arguments);
	store(error, code, message);
	return code;
}

enum status error_set_errno(struct error *error, enum status code, int errnum, const char *format,
			    ...)
{
	char message[MESSAGE_SIZE];
	char text[128];
	const char *reason = strerror_r(errnum, text, sizeof(text));
	size_t room = sizeof(message) - strlen(reason) - strlen(": ");
	va_list arguments;

	if (!error)
		return code;
	/* what is too long loses its own end, never the reason */
	va_start(arguments, format);
	if (vsnprintf(message, room, format, arguments) < 0)
		message[0] = '\0';
	va_end(arguments);
	snprintf(message + strlen(message), sizeof(message) - strlen(message), ": %s", reason);
	store(error, code, message);
	return code;
}

void error_prefix(struct error *error, const char *format, ...)
{
	char message[MESSAGE_SIZE];
	va_list arguments;
	size_t length;

	if (!error)
		return;
	va_start(arguments, format);
	if (vsnprintf(message, sizeof(message), format, arguments) < 0)
		message[0] = '\0';
	va_end(arguments);
	length = strlen(message);
	str_copy(message + length, sizeof(message) - length, ": ");
	length = strlen(message);
	str_copy(message + length, sizeof(message) - length, error->message);
	str_copy(error->message, sizeof(error->message), message);
	tidy(error->message);
}

enum status status_from_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
		return BW_NO_SPACE;
	case ENOENT:
		return BW_ABSENT;
	default:
		return BW_IO;
	}
}

const char *status_name(enum status status)
{
	static const char *const names[] = {
		[BW_OK] = "ok",
		[BW_ABSENT] = "absent",
		[BW_INVALID] = "invalid",
		[BW_TOO_LARGE] = "too_large",
		[BW_DENIED] = "denied",
		[BW_UNSUPPORTED] = "unsupported",
		[BW_UNAVAILABLE] = "unavailable",
		[BW_UNREACHABLE] = "unreachable",
		[BW_TIMEOUT] = "timeout",
		[BW_CORRUPT] = "corrupt",
		[BW_NO_SPACE] = "no_space",
		[BW_IO] = "io",
		[BW_CANCELLED] = "cancelled",
		[BW_CONFLICT] = "conflict",
		[BW_INTERNAL] = "internal",
	};

	if ((size_t)status >= sizeof(names) / sizeof(names[0]))
		return "unknown";
	return names[status];
}
