#include "server/maintenance/scrub.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/content/content.h"
#include "server/content/keys.h"
#include "server/content/record.h"
#include "server/maintenance/quarantine.h"
#include "server/oci/name.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIECE_BYTES ((size_t)256 << 10)
#define REPOSITORIES_MAX 10 /* named with a finding */
#define NAP_MS 100

struct scrubbing {
	struct content *content;
	const struct scrub_options *options;
	const struct task *task;
	struct scrub_summary *summary;
	int64_t began_at; /* monotonic */
	char *piece; /* PIECE_BYTES */
	struct parsed_key key;
};

static void report(struct scrubbing *scrubbing, const struct scrub_finding *finding)
{
	scrubbing->summary->bad++;
	if (finding->quarantined)
		scrubbing->summary->quarantined++;
	scrubbing->options->found(scrubbing->options->context, finding);
}

/* Sleeps off what was read faster than it should be. */
static enum status pace(struct scrubbing *scrubbing, struct error *error)
{
	const struct timespec nap = {.tv_nsec = NAP_MS * 1000000};
	uint64_t rate = scrubbing->options->bytes_per_second;
	enum status status = task_step(scrubbing->task, error);

	while (status == BW_OK && rate > 0 &&
	       (double)scrubbing->summary->bytes / (double)rate * 1000 >
		       (double)(clock_monotonic_ms() - scrubbing->began_at)) {
		nanosleep(&nap, NULL);
		status = task_step(scrubbing->task, error);
	}
	return status;
}

struct repositories {
	char names[REPOSITORIES_MAX][REPOSITORY_MAX + 1];
	const char *list[REPOSITORIES_MAX];
	size_t count;
};

static bool collect_repository(void *context, const char *repository)
{
	struct repositories *repositories = context;
	size_t at = repositories->count++;

	str_copy(repositories->names[at], sizeof(repositories->names[at]), repository);
	repositories->list[at] = repositories->names[at];
	return repositories->count < REPOSITORIES_MAX;
}

static void report_blob(struct scrubbing *scrubbing, const struct digest *digest,
			struct scrub_finding *finding)
{
	struct repositories *repositories = xcalloc(1, sizeof(*repositories));

	content_list_links_of(scrubbing->content, digest, REPOSITORIES_MAX, collect_repository,
			      repositories, NULL);
	finding->repositories = repositories->list;
	finding->repository_count = repositories->count;
	report(scrubbing, finding);
	free(repositories);
}

/* Hashes what the reader has. BW_CANCELLED: told to stop. */
static enum status hash_object(struct scrubbing *scrubbing, struct object_reader *reader,
			       enum digest_algorithm algorithm, struct digest *ret_digest,
			       struct error *error)
{
	struct hasher hasher;
	uint64_t offset = 0;
	size_t length = 1;
	enum status status = BW_OK;

	hasher_init(&hasher, algorithm);
	while (status == BW_OK && length > 0) {
		status = object_read(reader, offset, scrubbing->piece, PIECE_BYTES,
				     deadline_in(OBJECT_GET_TIMEOUT_MS), &length, error);
		if (status != BW_OK)
			break;
		hasher_update(&hasher, scrubbing->piece, length);
		offset += length;
		scrubbing->summary->bytes += length;
		status = pace(scrubbing, error);
	}
	if (status == BW_OK)
		hasher_finish(&hasher, ret_digest);
	return status;
}

static enum status damaged(struct scrubbing *scrubbing, const char *key,
			   const struct object_info *info, const struct digest *digest,
			   const char *why, struct error *error)
{
	struct scrub_finding finding = {
		.fault = SCRUB_DAMAGED, .key = key, .size = info->size, .detail = why};
	struct error trouble = {0};
	enum status status = BW_OK;

	if (scrubbing->options->quarantine) {
		status = quarantine_blob(scrubbing->content, digest, info, &trouble);
		finding.quarantined = status == BW_OK;
		/* what succeeded may have asked for what is not there */
		finding.detail = status == BW_OK ? why : trouble.message;
	}
	report_blob(scrubbing, digest, &finding);
	/* somebody pushes it, or it has changed: it is not ours to move just now */
	if (status == BW_OK || status == BW_CONFLICT)
		return BW_OK;
	if (error)
		*error = trouble;
	return status;
}

/* A sector that cannot be read is a finding; a store that is down is the end. */
static enum status unreadable(struct scrubbing *scrubbing, const char *key,
			      const struct object_info *info, const struct digest *digest,
			      const struct error *trouble, struct error *error)
{
	struct scrub_finding finding = {.fault = SCRUB_UNREADABLE,
					.key = key,
					.size = info->size,
					.detail = trouble->message};
	enum status status = object_check(content_objects(scrubbing->content), error);

	if (status == BW_OK)
		report_blob(scrubbing, digest, &finding);
	return status;
}

static enum status scrub_blob(void *context, const char *key, const struct object_info *info,
			      struct error *error)
{
	struct scrubbing *scrubbing = context;
	struct object_reader *reader = NULL;
	struct object_info opened = *info;
	struct digest digest, found;
	struct error trouble = {0};
	enum status status;

	if (!key_parse_blob(key, &digest))
		return BW_OK;
	status = object_open(content_objects(scrubbing->content), key, &reader, &trouble);
	if (status == BW_ABSENT)
		return BW_OK; /* collected meanwhile */
	if (status == BW_OK) {
		opened = reader->info;
		scrubbing->summary->blobs++;
		status = hash_object(scrubbing, reader, digest.algorithm, &found, &trouble);
		object_close(reader);
	}
	if (status == BW_CANCELLED && error)
		*error = trouble;
	if (status == BW_CANCELLED)
		return status;
	if (status == BW_CORRUPT)
		return damaged(scrubbing, key, &opened, &digest, trouble.message, error);
	if (status != BW_OK)
		return unreadable(scrubbing, key, &opened, &digest, &trouble, error);
	if (digest_equals(&found, &digest))
		return BW_OK;
	return damaged(scrubbing, key, &opened, &digest, "", error);
}

/* The index hears of a push when it is complete, so what only the store has is the
 * rest of one that was not. */
static bool was_complete(const struct scrubbing *scrubbing)
{
	struct metadata_store *metadata = content_metadata(scrubbing->content);
	const struct parsed_key *key = &scrubbing->key;
	struct manifest_entry entry = {0};
	uint64_t size;

	if (key->kind == KEY_LINK)
		return metadata_get_link(metadata, key->repository, &key->digest, &size, NULL) ==
		       BW_OK;
	if (metadata_get_manifest(metadata, key->repository, &key->digest, &entry, NULL) != BW_OK)
		return false;
	manifest_entry_release(&entry);
	return true;
}

/* Can the record itself be read? BW_ABSENT: it was removed since it was listed. */
static enum status read_record(struct scrubbing *scrubbing, const char *key, struct error *error)
{
	char media_type[MEDIA_TYPE_MAX];
	char *text = NULL;
	size_t length;
	uint64_t size;
	int64_t stored_at;
	enum status status = object_get(content_objects(scrubbing->content), key, RECORD_MAX, &text,
					&length, error);

	if (status != BW_OK)
		return status;
	status = scrubbing->key.kind == KEY_LINK
			 ? record_read_link(text, length, &size, &stored_at, error)
			 : record_read_manifest(text, length, media_type, &size, &stored_at, error);
	free(text);
	return status;
}

/* Are the bytes there that the record promises? */
static enum status look_for_bytes(struct scrubbing *scrubbing, const char *key, struct error *error)
{
	struct object_store *objects = content_objects(scrubbing->content);
	struct scrub_finding finding = {.fault = scrubbing->key.kind == KEY_LINK ? SCRUB_BYTES_GONE
										 : SCRUB_BODY_GONE,
					.key = key,
					.detail = ""};
	struct object_info info;
	struct error trouble = {0};
	char blob[KEY_SIZE];
	enum status status;

	key_of_blob(blob, &scrubbing->key.digest);
	status = object_stat(objects, blob, &info, &trouble);
	if (status == BW_ABSENT && !was_complete(scrubbing)) {
		scrubbing->summary->unfinished++;
		return BW_OK;
	}
	if (status == BW_ABSENT) /* unless both went since the record was read */
		status = object_stat(objects, key, &info, &trouble);
	else if (status == BW_OK)
		return BW_OK;
	if (status == BW_OK) {
		/* the index would tell clients that they need not push it */
		metadata_remove_blob(content_metadata(scrubbing->content), &scrubbing->key.digest,
				     NULL);
		report(scrubbing, &finding);
	}
	if (status == BW_OK || status == BW_ABSENT)
		return BW_OK;
	if (error)
		*error = trouble;
	return status;
}

static enum status scrub_record(void *context, const char *key, const struct object_info *info,
				struct error *error)
{
	struct scrubbing *scrubbing = context;
	struct scrub_finding finding = {.fault = SCRUB_UNREADABLE, .key = key, .size = info->size};
	struct error trouble = {0};
	enum status status;

	key_parse(key, &scrubbing->key);
	if (scrubbing->key.kind != KEY_LINK && scrubbing->key.kind != KEY_MANIFEST)
		return BW_OK;
	scrubbing->summary->records++;
	status = read_record(scrubbing, key, &trouble);
	if (status == BW_ABSENT)
		return BW_OK;
	if (status == BW_OK)
		return look_for_bytes(scrubbing, key, error);
	status = object_check(content_objects(scrubbing->content), error);
	finding.detail = trouble.message;
	if (status == BW_OK)
		report(scrubbing, &finding);
	return status;
}

enum status scrub(struct content *content, const struct scrub_options *options,
		  const struct task *task, struct scrub_summary *summary, struct error *error)
{
	struct scrubbing *scrubbing = xcalloc(1, sizeof(*scrubbing));
	struct object_store *objects = content_objects(content);
	enum status status;

	*summary = (struct scrub_summary){0};
	scrubbing->content = content;
	scrubbing->options = options;
	scrubbing->task = task;
	scrubbing->summary = summary;
	scrubbing->began_at = clock_monotonic_ms();
	scrubbing->piece = xmalloc(PIECE_BYTES);
	/* records first: what is quarantined below is reported as damaged, not as gone */
	status = walk_keys(objects, "repositories/", task, scrub_record, scrubbing, error);
	if (status == BW_OK)
		status = walk_keys(objects, "blobs/", task, scrub_blob, scrubbing, error);
	free(scrubbing->piece);
	free(scrubbing);
	return status;
}
