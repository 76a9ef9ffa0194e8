#include "server/upstream/upstream.h"

#include <stdarg.h>
#include <stdio.h>

enum status upstream_fault(const struct upstream *upstream, const char *repository,
			   struct error *error, enum status code, const char *format, ...)
{
	char text[sizeof(error->message)];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return error_set(error, code, "upstream \"%s\" (credential \"%s\"): %s",
			 upstream_name(upstream), upstream_credential_name(upstream, repository),
			 text);
}
