#include "server/base/memory.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LARGE_BYTES (1 << 20)

void memory_give_back_large(void)
{
#ifdef M_MMAP_THRESHOLD
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
#endif
}

__attribute__((noreturn)) static void die(void)
{
	static const char line[] = "breakwater: out of memory\n";
	ssize_t written = write(STDERR_FILENO, line, sizeof(line) - 1);

	(void)written;
	abort();
}

static void *must(void *memory)
{
	if (!memory)
		die();
	return memory;
}

void *xmalloc(size_t size)
{
	return must(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return count && size ? must(calloc(count, size)) : must(calloc(1, 1));
}

void *xrealloc(void *old, size_t size)
{
	return must(realloc(old, size ? size : 1));
}

char *xstrdup(const char *string)
{
	return must(strdup(string));
}

char *xstrndup(const char *string, size_t max)
{
	return must(strndup(string, max));
}

void *xmemdup(const void *bytes, size_t size)
{
	void *copy = xmalloc(size);

	if (size)
		memcpy(copy, bytes, size);
	return copy;
}

char *xasprintf(const char *format, ...)
{
	va_list arguments;
	char *string;
	int length;

	va_start(arguments, format);
	length = vasprintf(&string, format, arguments);
	va_end(arguments);
	if (length < 0)
		die();
	return string;
}
