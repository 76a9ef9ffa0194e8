#include "server/cli/platform.h"

#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* Go's names of architectures, which image indexes use, for the kernel's. */
static const char *machine_architecture(void)
{
	static const char *const names[][2] = {
		{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "arm"},
		{"armv6l", "arm"},   {"i686", "386"},      {"loongarch64", "loong64"},
	};
	static struct utsname machine;

	if (uname(&machine) < 0)
		return "amd64";
	for (size_t i = 0; i < array_size(names); i++) {
		if (strcmp(machine.machine, names[i][0]) == 0)
			return names[i][1];
	}
	return machine.machine; /* riscv64, s390x, ppc64le are spelt alike */
}

/* The next part of "a/b/c"; false when it is empty or too long. */
static bool take_part(const char **text, char target[PLATFORM_PART_MAX + 1])
{
	size_t length = strcspn(*text, "/");

	if (length == 0 || length > PLATFORM_PART_MAX)
		return false;
	memcpy(target, *text, length);
	target[length] = '\0';
	*text += length;
	return true;
}

static bool take_next_part(const char **text, char target[PLATFORM_PART_MAX + 1])
{
	if (**text != '/')
		return false;
	(*text)++;
	return take_part(text, target);
}

enum status platform_parse(const char *text, struct platform *ret, struct error *error)
{
	struct platform platform = {.os = "linux"};
	const char *rest = text;

	if (!text) {
		str_copy(platform.architecture, sizeof(platform.architecture),
			 machine_architecture());
	} else if (strcmp(text, "all") == 0) {
		platform.all = true;
	} else if (!take_part(&rest, platform.os) ||
		   !take_next_part(&rest, platform.architecture) ||
		   (*rest && !take_next_part(&rest, platform.variant)) || *rest) {
		return error_set(
			error, BW_INVALID,
			"\"%.100s\" is not a platform; say linux/amd64, for example, or all", text);
	}
	*ret = platform;
	return BW_OK;
}

static bool part_is(const cJSON *object, const char *name, const char *wanted)
{
	const char *value = json_string(object, name);

	return value && strcmp(value, wanted) == 0;
}

static bool matches(const struct platform *platform, const cJSON *entry)
{
	const cJSON *is = json_member(entry, "platform");

	return platform->all ||
	       (part_is(is, "os", platform->os) &&
		part_is(is, "architecture", platform->architecture) &&
		(!*platform->variant || part_is(is, "variant", platform->variant)));
}

static const char *or_unknown(const char *text)
{
	return text ? text : "?";
}

static enum status nothing_fits(const struct platform *platform, const cJSON *manifests,
				struct error *error)
{
	struct buf there = BUF_INIT((size_t)300);
	const cJSON *entry;

	cJSON_ArrayForEach(entry, manifests)
	{
		const cJSON *is = json_member(entry, "platform");

		buf_printf(&there, "%s%s/%s", there.length ? ", " : "",
			   or_unknown(json_string(is, "os")),
			   or_unknown(json_string(is, "architecture")));
	}
	error_set(error, BW_ABSENT, "the image has nothing for %s/%s; it has: %s", platform->os,
		  platform->architecture, there.length ? buf_string(&there) : "nothing");
	buf_release(&there);
	return BW_ABSENT;
}

enum status platform_choose(const struct platform *platform, const char *index, size_t length,
			    struct digest **ret_digests, size_t *ret_count, struct error *error)
{
	struct digest *digests;
	const cJSON *manifests;
	const cJSON *entry;
	size_t count = 0;
	cJSON *document;
	enum status status = json_parse(index, length, &document, error);

	if (status != BW_OK)
		return status;
	manifests = json_member(document, "manifests");
	digests = xcalloc((size_t)cJSON_GetArraySize(manifests) + 1, sizeof(*digests));
	cJSON_ArrayForEach(entry, manifests)
	{
		const char *text = json_string(entry, "digest");

		if (text && matches(platform, entry) &&
		    digest_parse(text, strlen(text), &digests[count]))
			count++;
	}
	if (count > 0 || platform->all) {
		*ret_digests = digests;
		*ret_count = count;
	} else {
		status = nothing_fits(platform, manifests, error);
		free(digests);
	}
	cJSON_Delete(document);
	return status;
}
