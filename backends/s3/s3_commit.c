/*
 * Parts become an object, or go away. Both may be tried at once, by different processes,
 * any of which may die at any point; S3 is strongly consistent, and has no other lock.
 *
 * Commit                                    Discard
 *   c1 PUT data/U/-commit-<r>, holds K        d1 PUT data/U/-discard
 *   c2 LIST data/U/: all parts are there,     d2 LIST data/U/
 *      neither -discard nor -done, and no     d3 no -commit: remove all. Else GET the K
 *      -commit for another key than K              of each: a record there names parts of
 *   c3 PUT K, if absent: the record              U: remove the others. None does, and a
 *   c4 PUT data/U/-done                          -commit is young: leave everything.
 *   c5 remove the parts that nobody named        None is: remove all.
 *
 * Nobody removes what an object is made of: if c2 did not see -discard, then c2 came
 * before d1, hence c1 before d2, and d3 sees -commit; it removes nothing while c3 may
 * still come, which it may for as long as c3's deadlines, far less than COMMIT_MAX_MS
 * on the store's own clock (both times are Last-Modified). If c2 saw -discard, the
 * commit fails before anything is visible, and discards in its turn, as d3 may have left
 * everything to it. Each attempt has a marker of its own, so that one which fails takes
 * back its own only.
 *
 * No two objects share parts, or removing one of them would take the other's: of two
 * commits for two keys (a blob's digests by two algorithms), each had its c1 before its
 * c2, so at least one sees the other's marker, or its -done, and fails.
 *
 * Death after c1 or c2: parts_list tells of U, as it has no -done, and d3 frees it when
 * the marker is old. After c3: the object is there and whole; d3 finds its record and
 * makes good c4 and c5. After c4: parts that nobody named stay until U's object goes:
 * removing it takes the folder.
 *
 * Remove of K: DELETE data/U/-done, DELETE K, remove data/U/. Death in between: U has no
 * -done, so parts_list tells of it, and discard finds K's record or does not.
 */
#include "backends/s3/s3_internal.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

#define COMMIT_MAX_MS (60 * 60 * 1000)
/* Of many tiny parts one object is made: a read of each is a request for as long as
 * the blob lives. It is the one case in which bytes are written twice. */
#define TINY_PARTS_MIN 64u
#define TINY_PART_SIZE ((uint64_t)1 << 20)

static enum status unmark(struct s3_store *store, const char *upload, const char *name,
			  struct error *error)
{
	char key[S3_KEY_SIZE];
	const char *keys[1] = {key};

	s3_data_key(store, upload, name, key);
	return store->transport->ops->remove(store->transport, keys, 1, error);
}

static enum status exists(struct s3_store *store, const char *full_key, struct error *error)
{
	struct s3_head head;

	return store->transport->ops->head(store->transport, full_key, &head, error);
}

struct attempt {
	const char *key;
	char marker[S3_COMMIT_NAME_SIZE];
};

/* Nobody else commits the upload under another key. */
static enum status is_for_one_key(struct s3_store *store, const char *upload,
				  const struct s3_folder *folder, const struct attempt *attempt,
				  struct error *error)
{
	enum status status = BW_OK;

	for (size_t i = 0; i < folder->count && !status; i++) {
		const char *name = folder->items[i].name;
		struct buf other = BUF_INIT(OBJECT_KEY_MAX);
		char full[S3_KEY_SIZE];
		struct s3_head head;

		if (!str_starts_with(name, S3_COMMIT_MARK) || strcmp(name, attempt->marker) == 0)
			continue;
		s3_data_key(store, upload, name, full);
		status = s3_read_small(store, full, &other, &head, error);
		if (status == BW_ABSENT) /* taken back meanwhile */
			status = BW_OK;
		else if (!status && strcmp(buf_string(&other), attempt->key) != 0)
			status = error_set(error, BW_UNAVAILABLE,
					   "upload %s is being committed as %s", upload,
					   buf_string(&other));
		buf_release(&other);
	}
	return status;
}

/* c2; `attempt` is NULL where bytes are copied, and no part is shared */
static enum status find_parts(struct s3_store *store, const char *upload,
			      const struct object_part *parts, size_t count,
			      const struct attempt *attempt, struct s3_record *record,
			      bool *ret_discarded, struct error *error)
{
	struct s3_folder folder = {0};
	enum status status = s3_folder_read(store, upload, &folder, error);

	*ret_discarded = folder.is_discarded;
	str_copy(record->upload, sizeof(record->upload), upload);
	if (!status && count > 0 && (folder.is_discarded || folder.is_done))
		status = error_set(error, BW_ABSENT, "upload %s is %s", upload,
				   folder.is_done ? "committed already" : "discarded");
	if (!status && attempt)
		status = is_for_one_key(store, upload, &folder, attempt, error);
	for (size_t i = 0; i < count && !status; i++)
		status = s3_folder_find(&folder, upload, &parts[i], record, error);
	s3_folder_release(&folder);
	return status;
}

/* c3 */
static enum status put_record(struct s3_store *store, const char *full_key,
			      const struct s3_record *record, struct error *error)
{
	struct buf text = BUF_INIT(S3_RECORD_MAX);
	struct s3_put put = {.key = full_key, .if_absent = true, .is_record = true};
	enum status status = s3_record_write(record, &text, error);

	put.bytes = buf_string(&text);
	put.length = text.length;
	put.record_size = record->size;
	if (!status)
		status = store->transport->ops->put(store->transport, &put, error);
	buf_release(&text);
	return status;
}

/* c4 and c5; what fails here is made good by whoever discards. A -discard that left
 * everything to us has said what it had to: -done keeps others from committing. */
static enum status settle(struct s3_store *store, const struct s3_record *record,
			  struct error *error)
{
	struct s3_folder folder = {0};
	char **names = NULL;
	size_t count = 0;
	enum status status = s3_mark(store, record->upload, S3_DONE_MARK, "", error);

	if (!status)
		status = s3_folder_read(store, record->upload, &folder, error);
	if (status)
		return status;
	names = xcalloc(folder.count + 1, sizeof(*names));
	for (size_t i = 0; i < folder.count; i++) {
		char *name = folder.items[i].name;
		bool is_ours = name[0] == '-' ? strcmp(name, S3_DISCARD_MARK) != 0
					      : s3_record_names(record, name);

		if (!is_ours)
			names[count++] = name;
	}
	status = s3_remove_names(store, record->upload, names, count, error);
	free(names);
	s3_folder_release(&folder);
	return status;
}

static enum status commit_record(struct s3_store *store, const char *upload,
				 const struct object_part *parts, size_t count, const char *key,
				 const char *full_key, struct error *error)
{
	struct attempt attempt = {.key = key};
	struct s3_record record = {0};
	enum status status;
	bool unsure = false;
	bool was_discarded = false;

	s3_commit_name(attempt.marker);
	status = s3_mark(store, upload, attempt.marker, key, error);
	if (!status)
		status = find_parts(store, upload, parts, count, &attempt, &record, &was_discarded,
				    error);
	if (!status) {
		status = put_record(store, full_key, &record, error);
		unsure = status && status != BW_CONFLICT;
	}
	if (status == BW_OK)
		settle(store, &record, NULL);
	else if (!unsure)
		unmark(store, upload, attempt.marker, NULL);
	s3_record_release(&record);
	/* a discard may have left everything to us, because of our marker */
	if (was_discarded)
		s3_parts_discard(&store->base, upload, NULL);
	return status;
}

/* ---- one object of many tiny parts, or of none ---- */

static enum status copy(struct s3_store *store, const struct s3_record *record,
			struct s3_sink *sink, struct error *error)
{
	for (size_t i = 0; i < record->count; i++) {
		struct buf bytes = BUF_INIT((size_t)store->part_size);
		char key[S3_KEY_SIZE];
		struct s3_head head;
		enum status status;

		s3_data_key(store, record->upload, record->extents[i].name, key);
		status = s3_read_small(store, key, &bytes, &head, error);
		if (!status && bytes.length != record->extents[i].size)
			status = error_set(error, BW_CORRUPT, "%s has another size than before",
					   key);
		if (!status)
			status = s3_sink_write(sink, buf_string(&bytes), bytes.length, error);
		buf_release(&bytes);
		if (status)
			return status;
	}
	return BW_OK;
}

static enum status commit_copy(struct s3_store *store, const char *upload,
			       const struct object_part *parts, size_t count, const char *full_key,
			       struct error *error)
{
	struct s3_record record = {0};
	struct s3_sink *sink;
	bool was_discarded = false;
	enum status status =
		find_parts(store, upload, parts, count, NULL, &record, &was_discarded, error);

	if (!status) {
		sink = s3_sink_new(store, full_key, S3_SINK_OBJECT);
		status = copy(store, &record, sink, error);
		if (status)
			s3_sink_abort(sink);
		else
			status = s3_sink_finish(sink, error);
	}
	s3_record_release(&record);
	return status;
}

static bool is_copied(const char *key, const struct object_part *parts, size_t count)
{
	uint64_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += parts[i].size;
	return size == 0 || !str_starts_with(key, S3_BLOBS) ||
	       (count > TINY_PARTS_MIN && size / count < TINY_PART_SIZE);
}

enum status s3_parts_commit(struct object_store *base, const char *upload,
			    const struct object_part *parts, size_t count, const char *key,
			    struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	bool copied = is_copied(key, parts, count);
	struct error why = {0};
	char full[S3_KEY_SIZE];
	enum status status = s3_full_key(store, key, full, error);

	if (status)
		return status;
	/* a copy is not conditional: what is there is kept */
	status = copied ? exists(store, full, &why) : BW_ABSENT;
	if (copied && status == BW_ABSENT)
		status = commit_copy(store, upload, parts, count, full, &why);
	else if (!copied)
		status = commit_record(store, upload, parts, count, key, full, &why);
	if (status == BW_OK && !copied)
		return BW_OK;
	/* the parts of an earlier commit, whose answer was lost, are gone */
	if (status == BW_CONFLICT ||
	    ((status == BW_ABSENT || status == BW_CORRUPT) && !exists(store, full, NULL)))
		status = BW_OK;
	if (status == BW_OK)
		s3_parts_discard(base, upload, NULL);
	else if (error)
		*error = why;
	return status;
}

/* ---- discard ---- */

enum fate { FREE, YOUNG, TAKEN };

/* What became of one commit. */
static enum status judge_commit(struct s3_store *store, const char *upload,
				const struct s3_item *marker, int64_t now,
				struct s3_record *ret_record, enum fate *ret_fate,
				struct error *error)
{
	struct buf key = BUF_INIT(OBJECT_KEY_MAX);
	struct s3_record record = {0};
	char full[S3_KEY_SIZE];
	struct s3_head head;
	enum status status;

	s3_data_key(store, upload, marker->name, full);
	status = s3_read_small(store, full, &key, &head, error);
	if (!status)
		status = s3_full_key(store, buf_string(&key), full, error);
	if (!status)
		status = s3_read_record(store, full, &record, error);
	buf_release(&key);
	if (status && status != BW_ABSENT)
		return status;
	if (status == BW_OK && strcmp(record.upload, upload) == 0) {
		*ret_record = record;
		*ret_fate = TAKEN;
		return BW_OK;
	}
	s3_record_release(&record);
	*ret_fate = now - marker->stored_at < COMMIT_MAX_MS ? YOUNG : FREE;
	return BW_OK;
}

static enum status judge_commits(struct s3_store *store, const char *upload,
				 const struct s3_folder *folder, struct s3_record *ret_record,
				 enum fate *ret_fate, struct error *error)
{
	int64_t now = 0; /* of the store's clock: when -discard was put */

	for (size_t i = 0; i < folder->count; i++)
		if (strcmp(folder->items[i].name, S3_DISCARD_MARK) == 0)
			now = folder->items[i].stored_at;
	*ret_fate = FREE;
	for (size_t i = 0; i < folder->count && *ret_fate != TAKEN; i++) {
		enum fate fate = FREE;
		enum status status;

		if (!str_starts_with(folder->items[i].name, S3_COMMIT_MARK))
			continue;
		status = judge_commit(store, upload, &folder->items[i], now, ret_record, &fate,
				      error);
		if (status)
			return status;
		if (fate != FREE)
			*ret_fate = fate;
	}
	return BW_OK;
}

static enum status remove_all(struct s3_store *store, const char *upload,
			      const struct s3_folder *folder, struct error *error)
{
	char **names = xcalloc(folder->count + 1, sizeof(*names));
	enum status status;

	for (size_t i = 0; i < folder->count; i++)
		names[i] = folder->items[i].name;
	status = s3_remove_names(store, upload, names, folder->count, error);
	free(names);
	return status;
}

enum status s3_parts_discard(struct object_store *base, const char *upload, struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	struct s3_folder folder = {0};
	struct s3_record record = {0};
	enum fate fate = FREE;
	enum status status = s3_mark(store, upload, S3_DISCARD_MARK, "", error);

	if (!status)
		status = s3_folder_read(store, upload, &folder, error);
	if (!status)
		status = judge_commits(store, upload, &folder, &record, &fate, error);
	if (!status && fate == TAKEN)
		status = settle(store, &record, error);
	else if (!status && fate == FREE)
		status = remove_all(store, upload, &folder, error);
	s3_record_release(&record);
	s3_folder_release(&folder);
	return status;
}

/* ---- remove ---- */

static enum status remove_data(struct s3_store *store, const char *upload, struct error *error)
{
	struct s3_folder folder = {0};
	enum status status = s3_folder_read(store, upload, &folder, error);

	if (!status)
		status = remove_all(store, upload, &folder, error);
	s3_folder_release(&folder);
	return status;
}

enum status s3_remove(struct object_store *base, const char *key, struct error *error)
{
	struct s3_store *store = s3_store_of(base);
	struct s3_record record = {0};
	char full[S3_KEY_SIZE];
	const char *keys[1] = {full};
	struct error why = {0};
	enum status status = s3_full_key(store, key, full, error);

	if (status)
		return status;
	if (str_starts_with(key, S3_BLOBS))
		status = s3_read_record(store, full, &record, &why);
	if (status && status != BW_ABSENT && status != BW_CORRUPT) {
		if (error)
			*error = why;
		return status;
	}
	status = BW_OK;
	if (record.upload[0])
		status = unmark(store, record.upload, S3_DONE_MARK, error);
	if (!status)
		status = store->transport->ops->remove(store->transport, keys, 1, error);
	if (!status && record.upload[0])
		status = remove_data(store, record.upload, error);
	s3_record_release(&record);
	return status;
}
