#include "server/cache/origin.h"

#include <stdarg.h>
#include <stdio.h>

enum status origin_fault(const struct origin *origin, struct error *error, enum status code,
			 const char *format, ...)
{
	struct error text;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text.message, sizeof(text.message), format, arguments);
	va_end(arguments);
	return origin->ops->fault(origin, error, code, text.message);
}
