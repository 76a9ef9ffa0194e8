/*
 * `breakwater warm`: pulls images through the running registry, so that it has
 * them when they are needed.
 */
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/cli/command.h"
#include "server/cli/image_name.h"
#include "server/cli/platform.h"
#include "server/cli/progress.h"
#include "server/cli/registry_client.h"
#include "server/cli/terminal.h"
#include "server/config/config.h"
#include "server/oci/manifest.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* An index of indexes is rare, and deeper is nonsense. */
#define MAX_DEPTH 3

/* One image on its way. */
struct warming {
	struct registry_client *client;
	const struct platform *platform;
	struct image_name image;
	struct progress progress;
	size_t blobs;
	struct digest *seen; /* blobs read already: images of an index share layers */
	size_t seen_count;
};

static void on_bytes(void *context, size_t length)
{
	progress_advance(context, length);
}

static bool is_seen(const struct warming *warming, const struct digest *digest)
{
	for (size_t i = 0; i < warming->seen_count; i++) {
		if (digest_equals(&warming->seen[i], digest))
			return true;
	}
	return false;
}

/* What a registry need not have is not asked for. */
static bool is_wanted(const struct warming *warming, const struct descriptor *blob)
{
	return !blob->foreign && !is_seen(warming, &blob->digest);
}

static enum status warm_blob(struct warming *warming, const struct descriptor *blob,
			     struct error *error)
{
	warming->seen = xrealloc(warming->seen, (warming->seen_count + 1) * sizeof(*warming->seen));
	warming->seen[warming->seen_count++] = blob->digest;
	warming->blobs++;
	return registry_client_read_blob(warming->client, &warming->image, &blob->digest, on_bytes,
					 &warming->progress, error);
}

static enum status warm_blobs(struct warming *warming, const struct manifest *manifest,
			      struct error *error)
{
	enum status status = BW_OK;

	for (size_t i = 0; i < manifest->blob_count; i++) {
		if (is_wanted(warming, &manifest->blobs[i]))
			progress_expect(&warming->progress, manifest->blobs[i].size);
	}
	for (size_t i = 0; i < manifest->blob_count && status == BW_OK; i++) {
		if (is_wanted(warming, &manifest->blobs[i]))
			status = warm_blob(warming, &manifest->blobs[i], error);
	}
	return status;
}

static enum status warm_reference(struct warming *warming, const struct reference *reference,
				  unsigned depth, struct error *error);

static enum status warm_index(struct warming *warming, const char *body, size_t length,
			      unsigned depth, struct error *error)
{
	struct digest *digests;
	size_t count;
	enum status status =
		platform_choose(warming->platform, body, length, &digests, &count, error);

	if (status != BW_OK)
		return status;
	for (size_t i = 0; i < count && status == BW_OK; i++) {
		struct reference reference;

		reference_from_digest(&digests[i], &reference);
		status = warm_reference(warming, &reference, depth + 1, error);
	}
	free(digests);
	return status;
}

static enum status warm_reference(struct warming *warming, const struct reference *reference,
				  unsigned depth, struct error *error)
{
	struct manifest manifest;
	char *body, *type;
	size_t length;
	enum status status;

	if (depth > MAX_DEPTH)
		return error_set(error, BW_INVALID, "its indexes are nested too deeply");
	status = registry_client_get_manifest(warming->client, &warming->image, reference, &body,
					      &length, &type, error);
	if (status != BW_OK)
		return status;
	status = manifest_parse(body, length, type, &manifest, error);
	if (status == BW_OK) {
		status = manifest.kind == MANIFEST_INDEX
				 ? warm_index(warming, body, length, depth, error)
				 : warm_blobs(warming, &manifest, error);
		manifest_release(&manifest);
	}
	free(type);
	free(body);
	return status;
}

static void report(const struct warming *warming, const char *text)
{
	char size[32];

	str_format_size(warming->progress.done, size, sizeof(size));
	printf("%s: warm, %zu blob%s, %s\n", text, warming->blobs, warming->blobs == 1 ? "" : "s",
	       size);
	fflush(stdout);
}

static bool warm(struct registry_client *client, const struct platform *platform, const char *text)
{
	struct warming warming = {.client = client, .platform = platform};
	struct error error = {0};
	enum status status = image_name_parse(text, &warming.image, &error);

	progress_init(&warming.progress, text);
	if (status == BW_OK)
		status = warm_reference(&warming, &warming.image.reference, 0, &error);
	progress_release(&warming.progress);
	if (status == BW_OK)
		report(&warming, text);
	else
		terminal_error("%s: %s", text, error.message);
	free(warming.seen);
	return status == BW_OK;
}

static int run(const struct invocation *invocation)
{
	struct platform platform;
	struct error error = {0};
	struct registry_client *client;
	struct config *config;
	size_t failures = 0;

	if (platform_parse(command_option(invocation, "platform"), &platform, &error) != BW_OK)
		return command_usage_error(invocation, "%s", error.message);
	config = command_load_config(invocation);
	if (!config)
		return EXIT_CONFIG;
	signal(SIGPIPE, SIG_IGN);
	client = registry_client_new(config);
	for (size_t i = 0; i < invocation->operand_count; i++)
		failures += !warm(client, &platform, invocation->operands[i]);
	if (failures > 0)
		terminal_error("%zu of %zu images are not warm (asked %s)", failures,
			       invocation->operand_count, registry_client_url(client));
	registry_client_free(client);
	config_unref(config);
	return failures > 0 ? EXIT_FAILED : EXIT_DONE;
}

static const struct command_option options[] = {
	{"platform", "OS/ARCH", "as in linux/arm64; \"all\" is every platform"},
};

const struct command command_warm = {
	.name = "warm",
	.summary = "Pull images through the running registry, so that it has them",
	.help = "Asks the registry that runs with this configuration (at http.externalURL, else\n"
		"at http.address) for each image's manifests and for every blob once, and throws\n"
		"them away. Of a multi-platform image, those for linux on this machine's\n"
		"architecture, unless --platform says otherwise. A name without a registry is\n"
		"docker.io's, as it is for a runtime.\n"
		"\n"
		"Exits with 1 when an image could not be had; the others are warm then.\n",
	.example = "warm --platform linux/arm64 alpine:3 quay.io/prometheus/node-exporter",
	.operands = "IMAGE...",
	.min_operands = 1,
	.max_operands = SIZE_MAX,
	.takes_config = true,
	.options = options,
	.option_count = array_size(options),
	.run = run,
};
