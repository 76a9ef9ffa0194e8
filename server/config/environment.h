/*
 * BREAKWATER_* variables, laid over the tree before it is read: they are typed
 * and checked by the same table as what stands in the file.
 */
#ifndef CONFIG_ENVIRONMENT_H
#define CONFIG_ENVIRONMENT_H

#include "server/config/node.h"

struct string_list;

/* `environment` may be NULL. The names of variables that were used are kept in
 * `names`, because marks in the tree point to them: it must live as long. */
void environment_apply(char *const *environment, struct node *root, struct problems *problems,
		       struct string_list *names, struct string_list *warnings);

#endif
