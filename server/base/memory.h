/*
 * Small allocations that cannot fail.
 *
 * Out of memory for a few hundred bytes leaves nothing sensible to do in a
 * server whose every buffer is bounded: these print one line and abort, and
 * the supervisor starts us again. Sizes that come from outside are bounded by
 * the caller before they get here. Free with free().
 */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

/* Before the first thread. A block of a megabyte or more goes back to the system when it
 * is freed: otherwise glibc, after the first one, keeps them for the next, in each
 * thread's arena, and what many threads once needed together stays for good. */
void memory_give_back_large(void);

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *old, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *string) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *string, size_t max) __attribute__((malloc, returns_nonnull));
void *xmemdup(const void *bytes, size_t size) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

#define array_size(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that embeds `member`, from a pointer to the member. */
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
