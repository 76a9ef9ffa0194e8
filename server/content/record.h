/*
 * The small JSON records of the object store (content.h's layout), written and
 * read. A record that cannot be read is BW_CORRUPT, never absence.
 */
#ifndef CONTENT_RECORD_H
#define CONTENT_RECORD_H

#include "backends/metadata_store.h"
#include "server/base/buf.h"

#define RECORD_MAX ((size_t)4096) /* bytes of any record */

/* {"mediaType":...,"size":...,"storedAt":<ms since 1970>} */
void record_write_manifest(struct buf *buf, const char *media_type, uint64_t size,
			   int64_t stored_at);
enum status record_read_manifest(const char *text, size_t length, char media_type[MEDIA_TYPE_MAX],
				 uint64_t *ret_size, int64_t *ret_stored_at, struct error *error);

/* {"digest":...,"storedAt":...}, or {"removed":true,"storedAt":...}. */
void record_write_tag(struct buf *buf, const struct digest *digest, int64_t stored_at);
void record_write_tag_removed(struct buf *buf, int64_t removed_at);
/* BW_ABSENT: the record says that the tag was removed. */
enum status record_read_tag(const char *text, size_t length, struct digest *ret_digest,
			    int64_t *ret_stored_at, struct error *error);

/* {"size":...,"storedAt":...} */
void record_write_link(struct buf *buf, uint64_t size, int64_t stored_at);
enum status record_read_link(const char *text, size_t length, uint64_t *ret_size,
			     int64_t *ret_stored_at, struct error *error);

/* {"storedAt":...}; what it says is in its key. */
void record_write_referrer(struct buf *buf, int64_t stored_at);

#endif
