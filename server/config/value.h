/*
 * From the text of a scalar to the value of a field, with the reason in words
 * when it is none. Nothing here knows where the text was written.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "server/base/error.h"
#include "server/config/config_table.h"

#include <stdbool.h>

/* Whether a scalar of that type is stored as a char *. */
bool value_is_text(enum key_type type);

/* Parses `text` as a scalar of `type` and stores it in `field` (for strings a
 * new char *; what was there is not freed). `key` gives the bounds; its own
 * type may be KEY_LIST. False fills the error and leaves the field alone. A
 * secret is never quoted in an error. */
bool value_parse(const struct config_key *key, enum key_type type, const char *text, void *field,
		 struct error *error);

/* The choice of that name; false fills the error: unknown, or not supported yet. */
bool value_choose(const struct key_choice *choices, const char *text, int *ret,
		  struct error *error);

#endif
