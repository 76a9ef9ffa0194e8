/*
 * What C tests share: cmocka with the headers it needs, a scratch folder, and
 * threads that start together.
 */
#ifndef TESTS_SUPPORT_SUPPORT_H
#define TESTS_SUPPORT_SUPPORT_H

/* cmocka wants these four before itself */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/base/digest.h"

#include <string.h>

/* A new empty folder below $TMPDIR; scratch_remove deletes it and all in it
 * and frees the name. */
char *scratch_make(void);
void scratch_remove(char *path);

/* A digest of its own for each text. */
static inline struct digest digest_for(const char *text)
{
	struct digest digest;

	digest_of(DIGEST_SHA256, text, strlen(text), &digest);
	return digest;
}

/* Runs body(context, index) on `count` threads that pass one barrier together,
 * and returns when all are done. */
void run_together(unsigned count, void (*body)(void *context, unsigned index), void *context);

#endif
