/*
 * Platforms of an index's images (OCI image-spec, image-index.md): which of
 * them a person means by "linux/arm64".
 */
#ifndef CLI_PLATFORM_H
#define CLI_PLATFORM_H

#include "server/base/digest.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define PLATFORM_PART_MAX 31

struct platform {
	bool all;
	char os[PLATFORM_PART_MAX + 1];
	char architecture[PLATFORM_PART_MAX + 1];
	char variant[PLATFORM_PART_MAX + 1]; /* "" : any */
};

/* "os/architecture", "os/architecture/variant" or "all". NULL: linux on this
 * machine's architecture. */
enum status platform_parse(const char *text, struct platform *ret, struct error *error);

/* The digests of the index's manifests for this platform, in their order;
 * *ret_digests is the caller's to free. BW_ABSENT with a sentence that lists
 * what there is when there are none. */
enum status platform_choose(const struct platform *platform, const char *index, size_t length,
			    struct digest **ret_digests, size_t *ret_count, struct error *error);

#endif
