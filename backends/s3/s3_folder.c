#include "backends/s3/s3_internal.h"
#include "server/base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX 100000u /* of one upload; the caller gets BW_TOO_LARGE */

struct reading {
	struct s3_folder *folder;
	size_t prefix_length;
	char last[S3_KEY_SIZE];
};

static bool take(void *context, const struct s3_entry *entry)
{
	struct reading *reading = context;
	struct s3_folder *folder = reading->folder;
	const char *name = entry->key + reading->prefix_length;

	str_copy(reading->last, sizeof(reading->last), entry->key);
	if ((folder->count & (folder->count - 1)) == 0) /* at powers of two */
		folder->items = xrealloc(folder->items, (folder->count ? 2 * folder->count : 1) *
								sizeof(*folder->items));
	folder->items[folder->count++] =
		(struct s3_item){xstrdup(name), entry->size, entry->stored_at};
	folder->is_discarded |= strcmp(name, S3_DISCARD_MARK) == 0;
	folder->is_done |= strcmp(name, S3_DONE_MARK) == 0;
	folder->is_committing |= str_starts_with(name, S3_COMMIT_MARK);
	return folder->count < ITEMS_MAX;
}

enum status s3_folder_read(struct s3_store *store, const char *upload, struct s3_folder *ret_folder,
			   struct error *error)
{
	struct s3_folder folder = {0};
	struct reading reading = {.folder = &folder};
	char prefix[S3_KEY_SIZE];
	enum status status;
	bool more = false;

	s3_data_key(store, upload, "", prefix);
	reading.prefix_length = strlen(prefix);
	do {
		more = false;
		status = store->transport->ops->list(store->transport, prefix, reading.last,
						     S3_LIST_PAGE, take, &reading, &more, error);
		if (!status && folder.count >= ITEMS_MAX)
			status = error_set(error, BW_TOO_LARGE, "upload %s has too many parts",
					   upload);
	} while (!status && more);
	if (status)
		s3_folder_release(&folder);
	else
		*ret_folder = folder;
	return status;
}

void s3_folder_release(struct s3_folder *folder)
{
	for (size_t i = 0; i < folder->count; i++)
		free(folder->items[i].name);
	free(folder->items);
	*folder = (struct s3_folder){0};
}

/* "<part>" itself, or a segment of it: "<part>.0001" */
static bool belongs(const char *item, const char *part, size_t length)
{
	return strncmp(item, part, length) == 0 && (item[length] == '\0' || item[length] == '.');
}

enum status s3_folder_find(const struct s3_folder *folder, const char *upload,
			   const struct object_part *part, struct s3_record *record,
			   struct error *error)
{
	size_t length = strlen(part->name);
	uint64_t size = 0;
	bool found = false;

	for (size_t i = 0; i < folder->count; i++) {
		const struct s3_item *item = &folder->items[i];

		if (!ascii_is_digit(part->name[0]) || !belongs(item->name, part->name, length))
			continue;
		found |= item->name[length] == '\0';
		size += item->size;
		s3_record_add(record, item->name, item->size);
	}
	if (!found)
		return error_set(error, BW_ABSENT, "part %s of upload %s is not there", part->name,
				 upload);
	if (size != part->size)
		return error_set(error, BW_CORRUPT,
				 "part %s of upload %s has %" PRIu64 " bytes instead of %" PRIu64,
				 part->name, upload, size, part->size);
	return BW_OK;
}

void s3_commit_name(char target[S3_COMMIT_NAME_SIZE])
{
	size_t length = strlen(S3_COMMIT_MARK);
	unsigned char random[8];

	random_bytes(random, sizeof(random));
	memcpy(target, S3_COMMIT_MARK, length);
	str_hex(random, sizeof(random), target + length);
}

enum status s3_mark(struct s3_store *store, const char *upload, const char *name, const char *body,
		    struct error *error)
{
	char key[S3_KEY_SIZE];
	struct s3_put put = {.key = key, .bytes = body, .length = strlen(body)};

	s3_data_key(store, upload, name, key);
	return store->transport->ops->put(store->transport, &put, error);
}
