/*
 * A client of the running registry, as `warm` needs it: manifests into memory,
 * blobs through a hash and away. What comes is verified.
 */
#ifndef CLI_REGISTRY_CLIENT_H
#define CLI_REGISTRY_CLIENT_H

#include "server/base/digest.h"
#include "server/base/error.h"
#include "server/cli/image_name.h"

#include <stddef.h>
#include <stdint.h>

struct config;
struct registry_client;

/* Where the configuration says the registry is: http.externalURL, else
 * http.address on this machine. */
struct registry_client *registry_client_new(const struct config *config);
void registry_client_free(struct registry_client *client);
const char *registry_client_url(const struct registry_client *client);

/* GET of a manifest of the image's repository. Both outputs are the caller's to
 * free. The error of a refusal is the registry's own sentence. */
enum status registry_client_get_manifest(struct registry_client *client,
					 const struct image_name *image,
					 const struct reference *reference, char **ret_body,
					 size_t *ret_length, char **ret_type, struct error *error);

/* GET of a blob; `on_bytes` is told how many came. */
enum status registry_client_read_blob(struct registry_client *client,
				      const struct image_name *image, const struct digest *digest,
				      void (*on_bytes)(void *context, size_t length), void *context,
				      struct error *error);

#endif
