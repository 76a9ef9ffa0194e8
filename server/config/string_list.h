/*
 * Growing and freeing the configuration's lists of strings.
 */
#ifndef CONFIG_STRING_LIST_H
#define CONFIG_STRING_LIST_H

#include "server/config/config.h"

/* Takes the string, which must come from malloc. */
void string_list_append(struct string_list *list, char *string);
void string_list_release(struct string_list *list);

/* Case counts. */
bool string_list_contains(const struct string_list *list, const char *string);

#endif
