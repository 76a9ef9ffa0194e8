#include "server/cli/terminal.h"

#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>

#define RED "\033[31m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

static bool wants_colour(void)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *terminal = getenv("TERM");

	return isatty(STDERR_FILENO) && !(no_colour && *no_colour) && terminal &&
	       strcmp(terminal, "dumb") != 0;
}

static void say(const char *colour, const char *what, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));

static void say(const char *colour, const char *what, const char *format, va_list arguments)
{
	bool coloured = wants_colour();

	fprintf(stderr, "%sbreakwater: %s%s", coloured ? colour : "", what, coloured ? PLAIN : "");
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void terminal_error(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(RED, "", format, arguments);
	va_end(arguments);
}

void terminal_warning(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(YELLOW, "warning: ", format, arguments);
	va_end(arguments);
}
