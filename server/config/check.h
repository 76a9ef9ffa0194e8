/*
 * What no single key can tell: names that must exist or must not stand twice,
 * keys that need or exclude each other, and secrets, which are read here.
 */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "server/config/config.h"
#include "server/config/node.h"
#include "server/config/problems.h"

/* `config` is what the loader made of `root`: the n-th item of a map or list
 * there is the n-th here. Reads passwords and resolves names. */
void check_config(struct config *config, const struct node *root, struct problems *problems);

#endif
