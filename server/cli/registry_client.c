#include "server/cli/registry_client.h"

#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/config/config.h"
#include "server/oci/manifest.h"
#include "server/oci/media_type.h"
#include "server/upstream/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The registry tries its upstreams in turn before it answers. */
#define FIRST_BYTE_MS 120000
#define STALL_MS 120000
#define CONNECT_MS 5000

struct registry_client {
	struct transfer_pool *transfers;
	char *url;
};

/* "0.0.0.0:5000", "[::]:5000" and ":5000" are for listening only. */
static bool is_every_interface(const char *address)
{
	return address[0] == ':' || str_starts_with(address, "0.0.0.0:") ||
	       str_starts_with(address, "[::]:");
}

static char *url_of(const struct config *config)
{
	const char *address = config->http.address;

	if (*config->http.external_url)
		return xstrdup(config->http.external_url);
	if (is_every_interface(address))
		return xasprintf("http://127.0.0.1%s", strrchr(address, ':'));
	return xasprintf("http://%s", address);
}

struct registry_client *registry_client_new(const struct config *config)
{
	const struct transfer_options options = {
		.connect_ms = CONNECT_MS,
		.first_byte_ms = FIRST_BYTE_MS,
		.stall_ms = STALL_MS,
		.max_idle = 1,
	};
	struct registry_client *client = xcalloc(1, sizeof(*client));

	client->transfers = transfer_pool_new(&options);
	client->url = url_of(config);
	return client;
}

void registry_client_free(struct registry_client *client)
{
	if (!client)
		return;
	transfer_pool_free(client->transfers);
	free(client->url);
	free(client);
}

const char *registry_client_url(const struct registry_client *client)
{
	return client->url;
}

/* One GET: a good body goes into the hash and, where wanted, into `body`; that
 * of a refusal into `refusal`. */
struct exchange {
	int status;
	struct hasher hasher;
	struct buf *body; /* NULL: not kept */
	struct buf refusal;
	void (*on_bytes)(void *context, size_t length);
	void *context;
};

static bool on_headers(void *context, const struct transfer_response *response)
{
	((struct exchange *)context)->status = response->status;
	return true;
}

static bool on_body(void *context, const void *bytes, size_t length)
{
	struct exchange *exchange = context;

	if (exchange->status != 200) {
		buf_append(&exchange->refusal, bytes, length);
		return !exchange->refusal.overflow;
	}
	hasher_update(&exchange->hasher, bytes, length);
	if (exchange->on_bytes)
		exchange->on_bytes(exchange->context, length);
	if (!exchange->body)
		return true;
	buf_append(exchange->body, bytes, length);
	return !exchange->body->overflow;
}

/* The registry's sentence out of its error body. */
static enum status refused(const struct exchange *exchange, struct error *error)
{
	const char *message = NULL;
	cJSON *document = NULL;

	if (json_parse(buf_string(&exchange->refusal), exchange->refusal.length, &document, NULL) ==
	    BW_OK)
		message = json_string(cJSON_GetArrayItem(json_member(document, "errors"), 0),
				      "message");
	error_set(error, exchange->status == 404 ? BW_ABSENT : BW_UNREACHABLE, "%s (status %d)",
		  message ? message : "the registry refused", exchange->status);
	cJSON_Delete(document);
	return error->code;
}

static enum status get(struct registry_client *client, const struct image_name *image,
		       const char *what, const char *reference, struct exchange *exchange,
		       char **ret_type, struct error *error)
{
	char *url = xasprintf("%s/v2/%s/%s/%s?ns=%s", client->url, image->repository, what,
			      reference, image->registry);
	const struct transfer_request request = {
		.method = TRANSFER_GET,
		.url = url,
		.connection_key = "registry",
		.accept = MEDIA_ACCEPT_MANIFESTS,
		.deadline = DEADLINE_NEVER,
		.on_headers = on_headers,
		.on_body = on_body,
		.context = exchange,
	};
	struct transfer_response response = {0};
	enum status status = transfer_run(client->transfers, &request, &response, error);

	if (status == BW_CANCELLED)
		status = error_set(error, BW_TOO_LARGE, "the answer is too large");
	if (status == BW_OK && response.status != 200)
		status = refused(exchange, error);
	if (status == BW_OK && ret_type)
		*ret_type =
			xstrdup(response.headers.content_type ? response.headers.content_type : "");
	transfer_response_release(&response);
	free(url);
	return status;
}

static enum status verify(struct exchange *exchange, const struct digest *expected,
			  struct error *error)
{
	char text[DIGEST_TEXT_SIZE];
	struct digest actual;

	hasher_finish(&exchange->hasher, &actual);
	if (digest_equals(&actual, expected))
		return BW_OK;
	digest_format(expected, text);
	return error_set(error, BW_CORRUPT, "what came is not %s", text);
}

enum status registry_client_get_manifest(struct registry_client *client,
					 const struct image_name *image,
					 const struct reference *reference, char **ret_body,
					 size_t *ret_length, char **ret_type, struct error *error)
{
	struct buf body = BUF_INIT(MANIFEST_MAX_BYTES);
	struct exchange exchange = {.body = &body, .refusal = BUF_INIT((size_t)64 << 10)};
	char *type = NULL;
	enum status status;

	hasher_init(&exchange.hasher,
		    reference->is_digest ? reference->digest.algorithm : DIGEST_SHA256);
	status = get(client, image, "manifests", reference->text, &exchange, &type, error);
	if (status == BW_OK && reference->is_digest)
		status = verify(&exchange, &reference->digest, error);
	if (status == BW_OK) {
		*ret_body = buf_detach(&body, ret_length);
		*ret_type = type;
		type = NULL;
	}
	buf_release(&body);
	buf_release(&exchange.refusal);
	free(type);
	return status;
}

enum status registry_client_read_blob(struct registry_client *client,
				      const struct image_name *image, const struct digest *digest,
				      void (*on_bytes)(void *context, size_t length), void *context,
				      struct error *error)
{
	struct exchange exchange = {
		.refusal = BUF_INIT((size_t)64 << 10),
		.on_bytes = on_bytes,
		.context = context,
	};
	char text[DIGEST_TEXT_SIZE];
	enum status status;

	digest_format(digest, text);
	hasher_init(&exchange.hasher, digest->algorithm);
	status = get(client, image, "blobs", text, &exchange, NULL, error);
	if (status == BW_OK)
		status = verify(&exchange, digest, error);
	buf_release(&exchange.refusal);
	return status;
}
