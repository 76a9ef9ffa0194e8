/*
 * Up to one part size is one PUT. More is a multipart upload: a full buffer goes to a
 * sender of the store's pool, or, when all of them are busy, is sent by the thread that
 * filled it. So a writer never waits for another's memory, and memory is a buffer for
 * each writer and one for each sender.
 *
 * The answer to CompleteMultipartUpload proves nothing: it may be lost although the
 * object is there, and some stores have said 200 and had stored nothing. A HEAD that
 * tells the right size does. Where it tells of nothing, Complete is asked once more:
 * the parts are still there then.
 */
#include "backends/s3/s3_internal.h"
#include "server/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFER_FIRST ((size_t)64 << 10)
#define IN_FLIGHT_MAX 4u /* of one writer */
#define COMPLETE_TRIES 2

struct s3_sink {
	struct s3_store *store;
	enum s3_sink_kind kind;
	char key[S3_KEY_SIZE];
	unsigned char sha256[32];
	bool has_sha256;
	char *buffer;
	size_t length;
	size_t capacity;
	uint64_t size; /* of all, the buffer's included */
	unsigned sent; /* parts handed over; part numbers count from 1 */
	char upload_id[S3_UPLOAD_ID_MAX]; /* "": none was begun */

	pthread_mutex_t lock; /* covers all below; leaf */
	pthread_cond_t done;
	unsigned in_flight;
	char (*etags)[S3_ETAG_MAX];
	struct error failure; /* of the first part that failed; BW_OK: none */
};

/* A part on its way. Owns its bytes. */
struct sending {
	struct s3_sink *sink;
	unsigned number;
	char *bytes;
	size_t length;
};

struct s3_sink *s3_sink_new(struct s3_store *store, const char *full_key, enum s3_sink_kind kind)
{
	struct s3_sink *sink = xcalloc(1, sizeof(*sink));

	sink->store = store;
	sink->kind = kind;
	str_copy(sink->key, sizeof(sink->key), full_key);
	pthread_mutex_init(&sink->lock, NULL);
	cond_init(&sink->done);
	return sink;
}

void s3_sink_expect(struct s3_sink *sink, const unsigned char sha256[32])
{
	memcpy(sink->sha256, sha256, sizeof(sink->sha256));
	sink->has_sha256 = true;
}

uint64_t s3_sink_size(const struct s3_sink *sink)
{
	return sink->size;
}

static void sink_free(struct s3_sink *sink)
{
	pthread_cond_destroy(&sink->done);
	pthread_mutex_destroy(&sink->lock);
	free(sink->etags);
	free(sink->buffer);
	free(sink);
}

/* ---- parts on their way ---- */

static void segment_key(const struct s3_sink *sink, unsigned number, char target[S3_KEY_SIZE])
{
	if (number == 1)
		str_copy(target, S3_KEY_SIZE, sink->key);
	else
		snprintf(target, S3_KEY_SIZE, "%.1000s.%04u", sink->key, number - 1);
}

static enum status send_part(struct s3_sink *sink, const struct sending *sending,
			     char ret_etag[S3_ETAG_MAX], struct error *error)
{
	struct s3_transport *transport = sink->store->transport;
	char key[S3_KEY_SIZE];
	struct s3_put put = {.key = key, .bytes = sending->bytes, .length = sending->length};

	if (sink->kind == S3_SINK_OBJECT)
		return transport->ops->multipart_send(transport, sink->key, sink->upload_id,
						      sending->number, sending->bytes,
						      sending->length, ret_etag, error);
	segment_key(sink, sending->number, key);
	ret_etag[0] = '\0';
	return transport->ops->put(transport, &put, error);
}

static void send_and_tell(void *argument)
{
	struct sending *sending = argument;
	struct s3_sink *sink = sending->sink;
	struct error error = {0};
	char etag[S3_ETAG_MAX];
	enum status status = send_part(sink, sending, etag, &error);

	free(sending->bytes);
	pthread_mutex_lock(&sink->lock);
	if (status == BW_OK)
		memcpy(sink->etags[sending->number - 1], etag, sizeof(etag));
	else if (sink->failure.code == BW_OK)
		sink->failure = error;
	sink->in_flight--;
	/* under the lock: whoever waits frees the sink once it has seen none in flight */
	pthread_cond_signal(&sink->done);
	pthread_mutex_unlock(&sink->lock);
	free(sending);
}

static enum status failure_of(struct s3_sink *sink, struct error *error)
{
	enum status status;

	pthread_mutex_lock(&sink->lock);
	status = sink->failure.code;
	if (status && error)
		*error = sink->failure;
	pthread_mutex_unlock(&sink->lock);
	return status;
}

/* Every part bounds its own time. */
static void wait_for_parts(struct s3_sink *sink)
{
	pthread_mutex_lock(&sink->lock);
	while (sink->in_flight > 0)
		pthread_cond_wait(&sink->done, &sink->lock);
	pthread_mutex_unlock(&sink->lock);
}

/* False: by the caller's own thread. */
static bool may_hand_over(struct s3_sink *sink)
{
	bool may;

	pthread_mutex_lock(&sink->lock);
	may = sink->in_flight < IN_FLIGHT_MAX;
	pthread_mutex_unlock(&sink->lock);
	return may && work_pool_load(sink->store->senders) < sink->store->parts_in_flight;
}

static enum status begin_multipart(struct s3_sink *sink, struct error *error)
{
	struct s3_transport *transport = sink->store->transport;

	if (sink->kind == S3_SINK_SEGMENTS || sink->upload_id[0])
		return BW_OK;
	if (!s3_has_multipart(sink->store))
		return error_set(error, BW_TOO_LARGE,
				 "object %s has more than the %" PRIu64
				 " bytes that a store without multipart uploads takes at once",
				 sink->key, sink->store->part_size);
	return transport->ops->multipart_create(transport, sink->key, sink->upload_id, error);
}

/* Sends what the buffer holds. */
static enum status dispatch(struct s3_sink *sink, struct error *error)
{
	struct sending *sending;
	enum status status = begin_multipart(sink, error);

	if (!status)
		status = failure_of(sink, error);
	if (!status && sink->sent == S3_PARTS_MAX)
		status = error_set(error, BW_TOO_LARGE, "object %s has more than %u parts",
				   sink->key, S3_PARTS_MAX);
	if (status)
		return status;
	sending = xmalloc(sizeof(*sending));
	*sending = (struct sending){sink, ++sink->sent, sink->buffer, sink->length};
	sink->buffer = NULL;
	sink->length = sink->capacity = 0;
	pthread_mutex_lock(&sink->lock);
	sink->etags = xrealloc(sink->etags, sink->sent * sizeof(*sink->etags));
	pthread_mutex_unlock(&sink->lock);
	if (!may_hand_over(sink)) {
		pthread_mutex_lock(&sink->lock);
		sink->in_flight++;
		pthread_mutex_unlock(&sink->lock);
		send_and_tell(sending);
		return failure_of(sink, error);
	}
	pthread_mutex_lock(&sink->lock);
	sink->in_flight++;
	pthread_mutex_unlock(&sink->lock);
	if (!work_pool_submit(sink->store->senders, send_and_tell, sending))
		send_and_tell(sending);
	return BW_OK;
}

/* ---- taking bytes ---- */

/* A part's buffer comes from the system and goes back there, so its pages should be few. */
static void prefer_huge_pages(char *buffer, size_t length)
{
#ifdef MADV_HUGEPAGE
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin = ((uintptr_t)buffer + page - 1) / page * page;

	if ((uintptr_t)buffer + length > begin)
		madvise((void *)begin, (uintptr_t)buffer + length - begin, MADV_HUGEPAGE);
#endif
}

enum status s3_sink_reserve(struct s3_sink *sink, void **ret_room, size_t *ret_length,
			    struct error *error)
{
	size_t part_size = (size_t)sink->store->part_size;

	if (sink->length == part_size) {
		enum status status = dispatch(sink, error);

		if (status)
			return status;
	}
	if (sink->length == sink->capacity) {
		size_t wanted = sink->sent ? part_size : 2 * sink->capacity;

		if (wanted < BUFFER_FIRST)
			wanted = BUFFER_FIRST;
		sink->capacity = wanted < part_size ? wanted : part_size;
		sink->buffer = xrealloc(sink->buffer, sink->capacity);
		if (sink->capacity == part_size)
			prefer_huge_pages(sink->buffer, sink->capacity);
	}
	*ret_room = sink->buffer + sink->length;
	*ret_length = sink->capacity - sink->length;
	return BW_OK;
}

void s3_sink_advance(struct s3_sink *sink, size_t length)
{
	sink->length += length;
	sink->size += length;
}

enum status s3_sink_write(struct s3_sink *sink, const void *bytes, size_t length,
			  struct error *error)
{
	const char *from = bytes;

	while (length > 0) {
		size_t room_length = 0;
		void *room;
		enum status status = s3_sink_reserve(sink, &room, &room_length, error);

		if (status)
			return status;
		if (room_length > length)
			room_length = length;
		memcpy(room, from, room_length);
		s3_sink_advance(sink, room_length);
		from += room_length;
		length -= room_length;
	}
	return BW_OK;
}

/* ---- the end ---- */

static enum status put_whole(struct s3_sink *sink, struct error *error)
{
	struct s3_transport *transport = sink->store->transport;
	struct s3_put put = {
		.key = sink->key,
		.bytes = sink->buffer,
		.length = sink->length,
		.sha256 = sink->has_sha256 ? sink->sha256 : NULL,
	};

	return transport->ops->put(transport, &put, error);
}

/* Under these keys there can be no other bytes of this size than ours. */
static bool key_tells_content(const struct s3_sink *sink)
{
	const char *key = sink->key + strlen(sink->store->prefix);

	return str_starts_with(key, S3_BLOBS) || str_starts_with(key, S3_DATA);
}

static enum status complete(struct s3_sink *sink, struct error *error)
{
	struct s3_transport *transport = sink->store->transport;
	enum status status = BW_OK;

	for (int i = 0; i < COMPLETE_TRIES; i++) {
		struct s3_head head = {0};
		enum status seen;
		struct error why = {0};

		status = transport->ops->multipart_complete(transport, sink->key, sink->upload_id,
							    (const char(*)[S3_ETAG_MAX])sink->etags,
							    sink->sent, &why);
		if (status && !key_tells_content(sink)) {
			if (error)
				*error = why;
			return status;
		}
		seen = transport->ops->head(transport, sink->key, &head, error);
		if (seen == BW_OK && head.size == sink->size && !head.is_record)
			return BW_OK;
		if (seen != BW_OK && seen != BW_ABSENT)
			return seen;
		if (status) {
			if (error)
				*error = why;
			return status == BW_ABSENT ? error_set(error, BW_UNREACHABLE,
							       "%s: its upload is gone", sink->key)
						   : status;
		}
		status = error_set(error, BW_UNREACHABLE,
				   "%s: the store says it is complete, and has %" PRIu64
				   " of %" PRIu64 " bytes",
				   sink->key, head.size, sink->size);
	}
	return status;
}

/* Best effort: what is left is found by its age (s3_parts_list). */
static void undo(struct s3_sink *sink)
{
	struct s3_transport *transport = sink->store->transport;
	char key[S3_KEY_SIZE];
	const char *keys[1] = {key};

	wait_for_parts(sink);
	if (sink->upload_id[0])
		transport->ops->multipart_abort(transport, sink->key, sink->upload_id, NULL);
	for (unsigned i = 1; sink->kind == S3_SINK_SEGMENTS && i <= sink->sent; i++) {
		segment_key(sink, i, key);
		transport->ops->remove(transport, keys, 1, NULL);
	}
}

enum status s3_sink_finish(struct s3_sink *sink, struct error *error)
{
	enum status status = BW_OK;

	if (sink->sent == 0)
		status = put_whole(sink, error);
	else if (sink->length > 0)
		status = dispatch(sink, error);
	if (sink->sent > 0) {
		wait_for_parts(sink);
		if (!status)
			status = failure_of(sink, error);
		if (!status && sink->kind == S3_SINK_OBJECT)
			status = complete(sink, error);
	}
	if (status)
		undo(sink);
	sink_free(sink);
	return status;
}

void s3_sink_abort(struct s3_sink *sink)
{
	undo(sink);
	sink_free(sink);
}
