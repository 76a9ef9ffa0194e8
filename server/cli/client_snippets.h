/*
 * Pieces of other programs' configuration that make them pull through this
 * cache. What is printed for containerd, podman, crio and k3s is a whole file:
 * everything but the settings is a comment.
 */
#ifndef CLI_CLIENT_SNIPPETS_H
#define CLI_CLIENT_SNIPPETS_H

#include "server/base/error.h"

struct buf;
struct client_runtime;
struct config;

/* NULL: not one we know. */
const struct client_runtime *client_runtime_find(const char *name);

/* BW_INVALID when the runtime cannot reach what the configuration says. */
enum status client_snippet_write(const struct client_runtime *runtime, const struct config *config,
				 struct buf *buf, struct error *error);

#endif
