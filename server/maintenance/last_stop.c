#include "server/maintenance/last_stop.h"

#include "server/base/digest.h"
#include "server/base/file.h"
#include "server/content/content.h"

#include <stdlib.h>
#include <string.h>

#define MARK "in use since boot" /* 0: stopped */

int64_t last_stop_boot(void)
{
	char *text = file_read_boot_id();
	struct digest digest;
	uint64_t number;

	if (!text)
		return 0;
	digest_of(DIGEST_SHA256, text, strlen(text), &digest);
	free(text);
	memcpy(&number, digest.bytes, sizeof(number));
	return (int64_t)(number >> 1 | 1);
}

enum status last_stop_check(struct content *content, int64_t boot, struct error *error)
{
	struct metadata_store *metadata = content_metadata(content);
	struct error trouble = {0};
	int64_t before = 0;
	enum status status = metadata_get_mark(metadata, MARK, &before, &trouble);

	if (status == BW_ABSENT)
		status = BW_OK;
	if (status == BW_OK && boot != 0 && before != 0 && before != boot)
		status = content_mark_incomplete(content, &trouble);
	if (status == BW_OK && before != boot)
		status = metadata_put_mark(metadata, MARK, boot, &trouble);
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

enum status last_stop_note(struct content *content, struct error *error)
{
	return metadata_put_mark(content_metadata(content), MARK, 0, error);
}
