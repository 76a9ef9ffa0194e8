/*
 * The stores that a configuration means, opened. stores.c is the one place that says
 * which implementations there are.
 */
#ifndef SERVER_STORES_H
#define SERVER_STORES_H

#include "server/base/error.h"

#include <stdbool.h>

struct config;
struct content;
struct coordination;
struct metadata_store;
struct object_store;

struct stores {
	struct object_store *objects;
	struct metadata_store *metadata;
	struct coordination *coordination; /* of replicas that share the index; NULL: alone */
	struct content *content; /* over the first two */
	bool remote; /* the objects are elsewhere, and shared */
};

/* As their owner (a server), or beside it (a command). BW_OK or not, what was opened
 * is the caller's to release. A Redis that cannot be reached now is no failure. */
enum status stores_open(struct stores *stores, const struct config *config, bool as_owner,
			struct error *error);
void stores_release(struct stores *stores);

/* Says in the log where they are. */
void stores_log(const struct config *config);

#endif
