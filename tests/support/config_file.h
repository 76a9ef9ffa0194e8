/*
 * Configurations written down in a test: the text becomes a file of its own,
 * is loaded under a chosen environment, and leaves its outcome here.
 */
#ifndef TESTS_SUPPORT_CONFIG_FILE_H
#define TESTS_SUPPORT_CONFIG_FILE_H

#include "tests/support/support.h"

#include "server/base/buf.h"
#include "server/config/config.h"

struct config_case {
	char *folder;
	char *path; /* folder/c.yaml */
	struct config *config; /* NULL when it was refused */
	struct buf problems;
};

/* A cmocka setup and teardown; *state is a struct config_case *. */
int config_case_setup(void **state);
int config_case_teardown(void **state);

/* Writes folder/name. */
void config_case_write(struct config_case *test, const char *name, const char *text, size_t length);

/* Loads the text; `environment` may be NULL. May be called again. */
enum status config_case_load(struct config_case *test, const char *text, char *const *environment);

/* Loads and requires success; "version: 1\n" is put in front. */
const struct config *config_case_good(struct config_case *test, const char *text);

/* Loads (with "version: 1\n" in front), requires BW_INVALID, and that some line
 * of the problems is exactly "FILE:" + expected. */
void config_case_bad(struct config_case *test, const char *text, const char *expected);

#endif
