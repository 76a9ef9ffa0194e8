/*
 * Which stores there are, and what their keys need of each other; and the cluster,
 * whose replicas must share them.
 */
#ifndef CONFIG_CHECK_STORES_H
#define CONFIG_CHECK_STORES_H

#include "server/config/config.h"
#include "server/config/node.h"
#include "server/config/problems.h"

/* As check_config, which calls it: says which stores are used, and reads the
 * cluster's secret. */
void check_stores(struct config *config, const struct node *root, struct problems *problems);

#endif
