/*
 * From the tree to a struct config, by the table: types, ranges, defaults,
 * unknown and missing keys. What no single key can tell is check.h's.
 */
#ifndef CONFIG_LOADER_H
#define CONFIG_LOADER_H

#include "server/config/config.h"
#include "server/config/node.h"
#include "server/config/problems.h"

/* Fills a zeroed configuration. Whatever has a problem gets its default, so
 * that no string is NULL afterwards ("": not given) and the n-th item of a list
 * in the file is the n-th in the configuration. */
void loader_fill(struct config *config, const struct node *root, struct problems *problems);

/* Frees everything the table describes; secrets are overwritten first. */
void loader_release(struct config *config);

#endif
