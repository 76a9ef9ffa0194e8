#include "server/cli/image_name.h"

#include "server/base/str.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_REGISTRY "docker.io"
#define DEFAULT_TAG "latest"

static enum status refuse(const char *text, const char *why, struct error *error)
{
	return error_set(error, BW_INVALID, "\"%.200s\" is not an image: %s", text, why);
}

static bool is_registry(const char *text, size_t length)
{
	return memchr(text, '.', length) || memchr(text, ':', length) ||
	       (length == strlen("localhost") && memcmp(text, "localhost", length) == 0);
}

/* Takes the registry off the text's front. *ret_rest is NULL when it is none
 * that could be. */
static void take_registry(const char *text, struct image_name *name, const char **ret_rest)
{
	const char *slash = strchr(text, '/');

	*ret_rest = text;
	str_copy(name->registry, sizeof(name->registry), DEFAULT_REGISTRY);
	if (!slash || !is_registry(text, (size_t)(slash - text)))
		return;
	*ret_rest = host_normalize(text, (size_t)(slash - text), name->registry) ? slash + 1 : NULL;
}

/* The length of the repository; *ret_reference is what follows it. */
static size_t split_reference(const char *text, const char **ret_reference)
{
	size_t digest_at = strcspn(text, "@");
	size_t length = digest_at;
	const char *colon = memchr(text, ':', digest_at);

	*ret_reference = DEFAULT_TAG;
	if (colon) {
		length = (size_t)(colon - text);
		*ret_reference = colon + 1;
	}
	if (text[digest_at])
		*ret_reference = text + digest_at + 1; /* a digest says more than a tag */
	return length;
}

static bool set_repository(struct image_name *name, const char *text, size_t length)
{
	bool is_official =
		strcmp(name->registry, DEFAULT_REGISTRY) == 0 && !memchr(text, '/', length);
	int written = snprintf(name->repository, sizeof(name->repository), "%s%.*s",
			       is_official ? "library/" : "", (int)length, text);

	return written > 0 && (size_t)written < sizeof(name->repository) &&
	       repository_name_valid(name->repository, (size_t)written);
}

enum status image_name_parse(const char *text, struct image_name *ret, struct error *error)
{
	struct image_name name;
	const char *reference;
	const char *rest;
	size_t length;

	if (strlen(text) > HOST_MAX + REPOSITORY_MAX + TAG_MAX + DIGEST_TEXT_SIZE)
		return refuse(text, "it is too long", error);
	take_registry(text, &name, &rest);
	if (!rest)
		return refuse(text, "what stands before the first slash is no host", error);
	length = split_reference(rest, &reference);
	if (!set_repository(&name, rest, length))
		return refuse(text, "its repository is not a name (lower case, no spaces)", error);
	if (!reference_parse(reference, strlen(reference), &name.reference))
		return refuse(text, "what follows the repository is neither a tag nor a digest",
			      error);
	*ret = name;
	return BW_OK;
}
