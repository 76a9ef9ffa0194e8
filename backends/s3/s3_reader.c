/*
 * Reads an object as one run of bytes, whether it lies in one piece or in the extents of
 * a record. Reading on costs no request: one GET to the end of the extent streams, and
 * stands still while nobody reads. A read elsewhere begins another GET there.
 *
 * A GET that breaks is begun again where it broke, of the same ETag: so a reader gets
 * the bytes of one object, or a failure, and never an end before its time.
 */
#include "backends/s3/s3_internal.h"
#include "server/base/str.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One request brings a small object; what is larger goes on with a second. */
#define OPEN_PIECE ((uint64_t)256 << 10)
#define BREAKS_MAX 4 /* without a byte in between */

struct s3_reader {
	struct object_reader base;
	struct s3_store *store;
	char *key; /* for messages */
	struct s3_run *runs; /* owned */
	size_t run_count;
	struct s3_body *body; /* NULL: none is open */
	uint64_t body_at; /* of the whole: the body's next byte */
	uint64_t body_end; /* of the whole: after its last byte */
};

static struct s3_reader *reader_of(struct object_reader *base)
{
	return container_of(base, struct s3_reader, base);
}

static void body_close(struct s3_reader *reader)
{
	if (reader->body)
		reader->body->ops->close(reader->body);
	reader->body = NULL;
}

static struct s3_run *run_at(struct s3_reader *reader, uint64_t offset, uint64_t *ret_start)
{
	uint64_t start = 0;

	for (size_t i = 0; i < reader->run_count; i++) {
		if (offset - start < reader->runs[i].size) {
			*ret_start = start;
			return &reader->runs[i];
		}
		start += reader->runs[i].size;
	}
	return NULL;
}

/* Bytes are not there: was the object removed, or has somebody taken them from it? */
static enum status tell_gone(struct s3_reader *reader, const struct s3_run *run,
			     struct error *error)
{
	struct s3_transport *transport = reader->store->transport;
	char full[S3_KEY_SIZE];
	struct s3_head head;
	enum status status = s3_full_key(reader->store, reader->key, full, error);

	if (!status)
		status = transport->ops->head(transport, full, &head, error);
	return status ? status
		      : error_set(error, BW_CORRUPT, "object %s: its bytes are gone from %s",
				  reader->key, run->key);
}

/* Changes in the bucket while we read are told as what they are. */
static enum status begin_body(struct s3_reader *reader, uint64_t offset, struct error *error)
{
	struct s3_transport *transport = reader->store->transport;
	uint64_t start = 0;
	struct s3_run *run = run_at(reader, offset, &start);
	struct s3_get get = {.key = run->key, .offset = offset - start};
	struct s3_head head;
	enum status status;

	if (run->etag[0])
		get.if_match = run->etag;
	status = transport->ops->get(transport, &get, &head, &reader->body, error);
	if (status == BW_CONFLICT)
		return error_set(error, BW_UNAVAILABLE, "object %s was replaced while it was read",
				 reader->key);
	if (status == BW_ABSENT)
		return tell_gone(reader, run, error);
	if (status)
		return status;
	if (head.size != run->size) {
		body_close(reader);
		return error_set(error, BW_CORRUPT,
				 "object %s: %s has %" PRIu64 " bytes instead of %" PRIu64,
				 reader->key, run->key, head.size, run->size);
	}
	memcpy(run->etag, head.etag, sizeof(run->etag));
	reader->body_at = offset;
	reader->body_end = start + run->size;
	return BW_OK;
}

/* One attempt to read some bytes. */
static enum status read_some(struct s3_reader *reader, uint64_t offset, void *target, size_t length,
			     deadline_ms deadline, size_t *ret_length, struct error *error)
{
	enum status status = BW_OK;
	size_t got = 0;

	if (reader->body && (reader->body_at != offset || offset == reader->body_end))
		body_close(reader);
	if (!reader->body)
		status = begin_body(reader, offset, error);
	if (status)
		return status;
	if (length > reader->body_end - offset)
		length = (size_t)(reader->body_end - offset);
	status = reader->body->ops->read(reader->body, target, length, deadline, &got, error);
	if (!status && got == 0)
		status = error_set(error, BW_UNREACHABLE,
				   "object %s ended after %" PRIu64 " of %" PRIu64 " bytes",
				   reader->key, offset, reader->base.info.size);
	if (status) {
		body_close(reader);
		return status;
	}
	reader->body_at += got;
	*ret_length = got;
	return BW_OK;
}

static enum status reader_read(struct object_reader *base, uint64_t offset, void *target,
			       size_t length, deadline_ms deadline, size_t *ret_length,
			       struct error *error)
{
	struct s3_reader *reader = reader_of(base);
	size_t done = 0;
	int breaks = 0;

	while (done < length && offset + done < base->info.size && offset < base->info.size) {
		size_t got = 0;
		enum status status = read_some(reader, offset + done, (char *)target + done,
					       length - done, deadline, &got, error);

		if (status == BW_UNREACHABLE && ++breaks < BREAKS_MAX && !deadline_passed(deadline))
			continue;
		if (status)
			return status;
		done += got;
		breaks = 0;
	}
	*ret_length = done;
	return BW_OK;
}

static void reader_close(struct object_reader *base)
{
	struct s3_reader *reader = reader_of(base);

	body_close(reader);
	for (size_t i = 0; i < reader->run_count; i++)
		free(reader->runs[i].key);
	free(reader->runs);
	free(reader->key);
	free(reader);
}

static const struct object_reader_ops reader_ops = {.read = reader_read, .close = reader_close};

struct object_reader *s3_reader_new(struct s3_store *store, const char *key, struct s3_run *runs,
				    size_t run_count, struct object_info info, struct s3_body *body,
				    uint64_t body_length)
{
	struct s3_reader *reader = xmalloc(sizeof(*reader));

	*reader = (struct s3_reader){
		.base = {.ops = &reader_ops, .info = info},
		.store = store,
		.key = xstrdup(key),
		.runs = runs,
		.run_count = run_count,
		.body = body,
		.body_end = body_length,
	};
	return &reader->base;
}

struct s3_run *s3_runs_of(const struct s3_store *store, const char *upload,
			  const struct s3_record *record)
{
	struct s3_run *runs = xcalloc(record->count + 1, sizeof(*runs));
	char key[S3_KEY_SIZE];

	for (size_t i = 0; i < record->count; i++) {
		s3_data_key(store, upload, record->extents[i].name, key);
		runs[i].key = xstrdup(key);
		runs[i].size = record->extents[i].size;
	}
	return runs;
}

/* Almost every record came whole with the head that told what it is. */
static enum status open_record(struct s3_store *store, const char *key, const char *full_key,
			       const struct s3_head *head, struct s3_body *body,
			       struct object_reader **ret_reader, struct error *error)
{
	struct object_info info = {head->record_size, head->stored_at};
	struct s3_record record = {0};
	enum status status = head->size <= OPEN_PIECE
				     ? s3_read_record_body(body, full_key, &record, error)
				     : s3_read_record(store, full_key, &record, error);

	if (!status && record.size != head->record_size)
		status = error_set(error, BW_CORRUPT,
				   "object %s: its extents have %" PRIu64
				   " bytes, and should have %" PRIu64,
				   key, record.size, head->record_size);
	if (!status)
		*ret_reader = s3_reader_new(store, key, s3_runs_of(store, record.upload, &record),
					    record.count, info, NULL, 0);
	s3_record_release(&record);
	return status;
}

enum status s3_open(struct object_store *base, const char *key, struct object_reader **ret_reader,
		    struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	char full[S3_KEY_SIZE];
	struct s3_get get = {.key = full, .length = OPEN_PIECE};
	struct s3_head head;
	struct s3_body *body = NULL;
	struct s3_run *run;
	enum status status = s3_full_key(store, key, full, error);

	if (!status)
		status = store->transport->ops->get(store->transport, &get, &head, &body, error);
	if (status)
		return status;
	if (head.is_record) {
		status = open_record(store, key, full, &head, body, ret_reader, error);
		body->ops->close(body);
		return status;
	}
	run = xcalloc(1, sizeof(*run));
	run->key = xstrdup(full);
	run->size = head.size;
	memcpy(run->etag, head.etag, sizeof(run->etag));
	*ret_reader =
		s3_reader_new(store, key, run, 1, (struct object_info){head.size, head.stored_at},
			      body, head.size < OPEN_PIECE ? head.size : OPEN_PIECE);
	return BW_OK;
}
