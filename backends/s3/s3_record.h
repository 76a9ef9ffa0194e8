/*
 * A record of extents: what lies under the key of a blob whose bytes were written
 * before their digest was known. The bytes stay where they are, in
 * "data/<upload>/<name>", and the record says in which order they are the blob:
 *
 *   {"upload":"<id>","extents":[{"name":"<n>-<r>","size":<bytes>},...]}
 *
 * Its size is a multiple of S3_RECORD_STEP, filled up with spaces, and S3_META_SIZE
 * tells the blob's: a HEAD or GET knows a record by that, and a listing, which shows no
 * metadata, has few objects of such sizes to ask about.
 */
#ifndef BACKENDS_S3_S3_RECORD_H
#define BACKENDS_S3_S3_RECORD_H

#include "backends/object_store.h"
#include "server/base/buf.h"

#define S3_RECORD_STEP 1021u
#define S3_RECORD_MAX ((size_t)4 << 20)
#define S3_EXTENT_NAME_SIZE (PART_NAME_SIZE + 8)

struct s3_extent {
	char name[S3_EXTENT_NAME_SIZE];
	uint64_t size;
};

struct s3_record {
	char upload[UPLOAD_ID_MAX + 1];
	struct s3_extent *extents; /* owned */
	size_t count;
	uint64_t size; /* of all */
};

void s3_record_release(struct s3_record *record);
void s3_record_add(struct s3_record *record, const char *name, uint64_t size);
bool s3_record_names(const struct s3_record *record, const char *name);

/* BW_TOO_LARGE when there are too many extents. */
enum status s3_record_write(const struct s3_record *record, struct buf *target,
			    struct error *error);
/* BW_CORRUPT for what no store of ours wrote. */
enum status s3_record_parse(const char *text, size_t length, struct s3_record *ret_record,
			    struct error *error);

#endif
