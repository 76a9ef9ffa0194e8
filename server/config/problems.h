/*
 * What is wrong with a configuration: collected, so that one run of
 * check-config shows everything, and printed in the order of the file.
 */
#ifndef CONFIG_PROBLEMS_H
#define CONFIG_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Where something was written. */
struct mark {
	unsigned line; /* from 1; 0: nowhere in the file */
	unsigned column;
	const char *variable; /* the environment's NAME; NULL: the file. Borrowed. */
};

struct problem;

struct problems {
	const char *source; /* the file's path; borrowed */
	struct problem *list;
	size_t count;
	bool more; /* there were more than are kept */
};

void problems_init(struct problems *problems, const char *source);
void problems_release(struct problems *problems);

void problems_add(struct problems *problems, struct mark mark, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* One line each, "SOURCE:LINE:COLUMN: text" or "VARIABLE: text". Sorts them. */
void problems_write(struct problems *problems, struct buf *buf);

#endif
