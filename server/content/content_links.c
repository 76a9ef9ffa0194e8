/*
 * Links: the blobs that were pushed to, or mounted in, a local repository.
 *
 * A link in the index is believed: it got there only after references_settle(),
 * with the bytes seen or stored after that, so it was in the object store then and
 * keeps the bytes until it is removed. A link that only the object store has may be
 * the beginning of a push that died. It counts when, settled, its bytes are there,
 * and is harmless else: whoever made it had the bytes, or might read them, and so may
 * the repository's readers if they come.
 *
 * That is also why a mount which finds no bytes leaves its link. Taking it back could
 * take away that of a push of the same blob, which has just been acknowledged.
 *
 * Whoever puts a link into the index looks at the store once more. It is gone if
 * somebody removed it in between, and then the reader takes it out of the index
 * again, and the writer starts over, as if it had come later.
 *
 * Where the process may die in a push:
 *
 *   after the link            the bytes are not there, or somebody else's: no
 *                             difference to anybody who may not read them
 *   after the bytes           the link counts, the next look at it repairs the
 *                             index; the upload is still there and may be
 *                             finished again
 *   after the index           the new state
 *
 * and in a removal:
 *
 *   after the index           nothing: the next look at the link repairs it
 *   after the link's object   the new state, unless a reader has put the link back
 *                             into the index in between and died as well
 */
#include "server/base/buf.h"
#include "server/base/clock.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"
#include "server/content/record.h"
#include "server/content/references.h"

#include <stdlib.h>

#define LARGE_BYTES ((uint64_t)8 << 20)

static enum status stat_bytes(struct content *content, const struct digest *digest,
			      struct object_info *ret, struct error *error)
{
	char key[KEY_SIZE];

	key_of_blob(key, digest);
	return object_stat(content->objects, key, ret, error);
}

static enum status stat_link(struct content *content, const char *repository,
			     const struct digest *digest, struct error *error)
{
	struct object_info info;
	char key[KEY_SIZE];

	key_of_link(key, repository, digest);
	return object_stat(content->objects, key, &info, error);
}

static enum status store_link(struct content *content, const char *repository,
			      const struct listed_content *link, enum put_mode mode,
			      struct error *error)
{
	struct buf record = BUF_INIT(RECORD_MAX);
	char key[KEY_SIZE];
	enum status status;

	record_write_link(&record, link->size, clock_wall_ms());
	key_of_link(key, repository, &link->digest);
	status = object_put(content->objects, key, buf_string(&record), record.length, mode, error);
	buf_release(&record);
	return status;
}

enum status content_get_link(struct content *content, const char *repository,
			     const struct digest *digest, uint64_t *ret_size, struct error *error)
{
	struct listed_content link = {.digest = *digest};
	struct references_start settled;
	struct object_info info;
	enum status status =
		metadata_get_link(content->metadata, repository, digest, ret_size, NULL);
	bool away = index_is_away(status);

	if (status == BW_OK)
		return BW_OK;
	settled = references_start();
	status = stat_link(content, repository, digest, error);
	if (status == BW_OK)
		status = references_settle(content, digest, 1, error);
	if (status == BW_OK)
		status = stat_bytes(content, digest, &info, error);
	if (status == BW_OK)
		status = references_in_time(&settled, error);
	if (status != BW_OK)
		return status;
	link.size = info.size;
	if (!away && metadata_put_link(content->metadata, repository, &link, NULL) == BW_OK) {
		content_note_repository(content, repository, NULL);
		if (stat_link(content, repository, digest, NULL) != BW_OK)
			metadata_remove_link(content->metadata, repository, digest, NULL);
	}
	*ret_size = info.size;
	return BW_OK;
}

/* Tells the index of a link whose bytes are there, since it was settled.
 * *ret_overtaken: somebody has removed it meanwhile. */
static enum status index_link(struct content *content, const char *repository,
			      const struct listed_content *link,
			      const struct references_start *settled, bool *ret_overtaken,
			      struct error *error)
{
	struct error trouble = {0};
	enum status status = metadata_put_blob(content->metadata, &link->digest, link->size,
					       clock_wall_ms(), error);

	if (status == BW_OK)
		status = metadata_put_link(content->metadata, repository, link, error);
	if (status == BW_OK)
		status = content_note_repository(content, repository, error);
	if (status == BW_OK)
		status = references_in_time(settled, error);
	if (status != BW_OK)
		return status;
	status = stat_link(content, repository, &link->digest, &trouble);
	*ret_overtaken = status == BW_ABSENT;
	if (status == BW_OK)
		return BW_OK;
	metadata_remove_link(content->metadata, repository, &link->digest, NULL);
	if (status == BW_ABSENT)
		return BW_OK;
	if (error)
		*error = trouble;
	return status;
}

/* The link can be seen by every process from here on (a look at it sees to that), and
 * a collection that began before may have taken the bytes: references.h. */
static enum status secure_bytes(struct content *content, const char *repository,
				const struct digest *digest, bool *ret_overtaken,
				struct error *error)
{
	struct object_info info;
	struct error trouble = {0};
	enum status status = stat_link(content, repository, digest, &trouble);

	*ret_overtaken = status == BW_ABSENT;
	if (status == BW_ABSENT)
		return BW_OK;
	if (status == BW_OK)
		status = references_settle(content, digest, 1, &trouble);
	if (status == BW_OK)
		status = stat_bytes(content, digest, &info, &trouble);
	if (status == BW_ABSENT) {
		status = error_set(&trouble, BW_UNAVAILABLE,
				   "a garbage collection that began just now took the blob; "
				   "push it again");
		trouble.retry_after = 1;
	}
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

static enum status overtaken_too_often(const char *repository, struct error *error)
{
	return error_set(error, BW_UNAVAILABLE,
			 "a blob of \"%s\" is removed as fast as it is linked", repository);
}

/* Where the bytes of a blob come from: one of the three. */
struct origin_of_bytes {
	const void *bytes; /* `size` of them */
	struct object_writer *writer; /* all written to; NULL when it is used up */
	const char *upload; /* its parts */
	const struct object_part *parts;
	size_t count;
};

/* An object of another size is not what its name says, and the store would keep it.
 * For all who refer to it, no bytes are better than bad ones. *ret_there: it is there,
 * and right as far as that goes. */
static enum status remove_damaged(struct content *content, const struct listed_content *link,
				  bool *ret_there, struct error *error)
{
	struct object_info info;
	struct error trouble = {0};
	char key[KEY_SIZE];
	enum status status = stat_bytes(content, &link->digest, &info, &trouble);

	*ret_there = status == BW_OK && info.size == link->size;
	if (status == BW_ABSENT || *ret_there)
		return BW_OK;
	if (status == BW_OK) {
		key_of_blob(key, &link->digest);
		return object_remove(content->objects, key, error);
	}
	if (error)
		*error = trouble;
	return status;
}

/* Only the writer's first use has bytes to give. */
static enum status commit_writer(struct origin_of_bytes *origin, struct error *error)
{
	struct object_writer *writer = origin->writer;
	enum status status;

	origin->writer = NULL;
	if (writer)
		return object_commit(writer, error);
	status = error_set(error, BW_UNAVAILABLE,
			   "the blob was removed while it was linked; push it again");
	if (error)
		error->retry_after = 1;
	return status;
}

/* What is there already is kept: it may be an object of which a store knows more than
 * its bytes. Then nothing durable follows the link, which has to be so itself. */
static enum status store_bytes(struct content *content, const char *repository,
			       const struct listed_content *link, struct origin_of_bytes *origin,
			       bool there, struct error *error)
{
	struct error trouble = {0};
	char key[KEY_SIZE];
	enum status status;

	key_of_blob(key, &link->digest);
	if (origin->upload)
		return object_parts_commit(content->objects, origin->upload, origin->parts,
					   origin->count, key, error);
	if (there)
		status = BW_CONFLICT;
	else if (origin->bytes)
		status = object_put(content->objects, key, origin->bytes, (size_t)link->size,
				    PUT_IF_ABSENT, &trouble);
	else
		status = commit_writer(origin, &trouble);
	if (status == BW_CONFLICT)
		return store_link(content, repository, link, PUT_REPLACE, error);
	if (status != BW_OK && error)
		*error = trouble;
	return status;
}

static enum status push_once(struct content *content, const char *repository,
			     const struct listed_content *link, struct origin_of_bytes *origin,
			     bool *ret_overtaken, struct error *error)
{
	/* A large one takes long to become a blob, and the link should be seen before
	 * that; what a flush of its own costs is nothing beside it. */
	enum put_mode mode = link->size > LARGE_BYTES ? PUT_REPLACE : PUT_REPLACE_SOON;
	struct references_start settled;
	bool there = false;
	enum status status = store_link(content, repository, link, mode, error);

	if (status == BW_OK)
		status = references_settle(content, &link->digest, 1, error);
	if (status == BW_OK)
		status = remove_damaged(content, link, &there, error);
	if (status == BW_OK)
		status = store_bytes(content, repository, link, origin, there, error);
	settled = references_start();
	if (status == BW_OK)
		status = secure_bytes(content, repository, &link->digest, ret_overtaken, error);
	if (status == BW_OK && !*ret_overtaken)
		status = index_link(content, repository, link, &settled, ret_overtaken, error);
	return status;
}

static enum status push_blob(struct content *content, const char *repository,
			     const struct listed_content *link, struct origin_of_bytes *origin,
			     struct error *error)
{
	for (unsigned tries = 0; tries < CONTENT_TRIES; tries++) {
		bool overtaken = false;
		enum status status =
			push_once(content, repository, link, origin, &overtaken, error);

		if (!overtaken)
			return status;
	}
	return overtaken_too_often(repository, error);
}

enum status content_push_blob(struct content *content, const char *repository,
			      const struct digest *digest, uint64_t size, const char *upload,
			      const struct object_part *parts, size_t count, struct error *error)
{
	struct listed_content link = {.digest = *digest, .size = size};
	struct origin_of_bytes origin = {.upload = upload, .parts = parts, .count = count};

	return push_blob(content, repository, &link, &origin, error);
}

enum status content_push_blob_bytes(struct content *content, const char *repository,
				    const struct digest *digest, const void *bytes, size_t size,
				    struct error *error)
{
	struct listed_content link = {.digest = *digest, .size = size};
	struct origin_of_bytes origin = {.bytes = bytes};

	return push_blob(content, repository, &link, &origin, error);
}

enum status content_create_blob(struct content *content, const struct digest *digest,
				struct object_writer **ret_writer, struct error *error)
{
	char key[KEY_SIZE];

	key_of_blob(key, digest);
	return object_create(content->objects, key, ret_writer, error);
}

enum status content_push_blob_written(struct content *content, const char *repository,
				      const struct digest *digest, uint64_t size,
				      struct object_writer **writer, struct error *error)
{
	struct listed_content link = {.digest = *digest, .size = size};
	struct origin_of_bytes origin = {.writer = *writer};
	enum status status;

	*writer = NULL;
	status = push_blob(content, repository, &link, &origin, error);
	object_abort(origin.writer);
	return status;
}

/* Nothing durable follows the link: it has to be so itself. */
static enum status mount_once(struct content *content, const char *repository,
			      struct listed_content *link, bool *ret_overtaken, struct error *error)
{
	struct references_start settled;
	struct object_info info;
	enum status status = store_link(content, repository, link, PUT_REPLACE, error);

	settled = references_start();
	if (status == BW_OK)
		status = references_settle(content, &link->digest, 1, error);
	if (status == BW_OK)
		status = stat_bytes(content, &link->digest, &info, error);
	if (status != BW_OK)
		return status;
	link->size = info.size;
	return index_link(content, repository, link, &settled, ret_overtaken, error);
}

enum status content_mount_blob(struct content *content, const char *repository,
			       const struct digest *digest, uint64_t *ret_size, struct error *error)
{
	struct listed_content link = {.digest = *digest};
	struct object_info info;
	/* before anything is written: most mounts that fail do so here */
	enum status status = stat_bytes(content, digest, &info, error);

	if (status != BW_OK)
		return status;
	link.size = info.size;
	for (unsigned tries = 0; tries < CONTENT_TRIES; tries++) {
		bool overtaken = false;

		status = mount_once(content, repository, &link, &overtaken, error);
		if (status == BW_OK && !overtaken)
			*ret_size = link.size;
		if (!overtaken)
			return status;
	}
	return overtaken_too_often(repository, error);
}

/* Out of the index first, so that dying in between leaves nobody who believes a link
 * that no longer keeps the bytes; and once more at the end, for a reader who has put
 * it back meanwhile. A push that came in between loses its place in the index alone,
 * where the next look at the link puts it back. */
enum status content_unlink_blob(struct content *content, const char *repository,
				const struct digest *digest, struct error *error)
{
	char key[KEY_SIZE];
	enum status status = metadata_remove_link(content->metadata, repository, digest, error);

	key_of_link(key, repository, digest);
	if (status == BW_OK)
		status = object_remove(content->objects, key, error);
	if (status == BW_OK)
		status = metadata_remove_link(content->metadata, repository, digest, error);
	if (status == BW_OK)
		status = content_drop_repository(content, repository, error);
	return status;
}

enum status content_list_links_of(struct content *content, const struct digest *digest,
				  unsigned limit, repository_list_fn fn, void *context,
				  struct error *error)
{
	return metadata_list_links_of(content->metadata, digest, limit, fn, context, error);
}
