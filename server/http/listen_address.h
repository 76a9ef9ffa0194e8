/*
 * "host:port" of the configuration, made ready to be bound.
 */
#ifndef HTTP_LISTEN_ADDRESS_H
#define HTTP_LISTEN_ADDRESS_H

#include "server/base/error.h"

#include <stdbool.h>

struct listen_address {
	bool any; /* every address of both families: ":5000", "[::]:5000" */
	bool is_ipv6; /* of `host` */
	char host[64]; /* numeric; "" when `any` */
	unsigned port; /* 0: one that the system chooses */
};

/* Names ("localhost") are looked up, and the first address is taken. `key` is
 * the configuration's name of it, for the message. */
enum status listen_address_resolve(const char *key, const char *text, struct listen_address *ret,
				   struct error *error);

#endif
