/*
 * What holds when nothing is said: the configuration without a file, and what
 * is known about registries that have peculiarities.
 */
#ifndef CONFIG_DEFAULTS_H
#define CONFIG_DEFAULTS_H

#include "server/config/config.h"

struct node;

/* The file that is used when there is none. */
extern const char defaults_file[];

/* Fills in urls, aliases and token realms of upstreams whose configuration
 * (`upstreams`, the node of proxy.upstreams or NULL) does not mention them. */
void defaults_complete(struct config *config, const struct node *upstreams);

#endif
