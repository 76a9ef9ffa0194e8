/*
 * Why a push loses nothing. Blobs are removed as a garbage collection removes them, by
 * the handshake of server/content/references.h, but for step b.: it would take reading
 * all references in the store for each image that goes. The index is asked instead who
 * has the digest. It must know whoever may count on the bytes:
 *
 *   - A reference that was acknowledged is in the index, or was in one that was lost.
 *     The latter is not complete until all references of the store were read into it.
 *     So it is asked whether it is complete after it was asked who has the digest; each
 *     index that answered "complete" had told all it knew.
 *   - One that is being made when we ask has been settled before our run began, without
 *     seeing it, or sees it. In the first case the index had it within
 *     REFERENCES_INDEX_MS, or it will not be acknowledged; and we have waited for longer
 *     since then. In the second the digest is kept, and asked for after it was
 *     condemned.
 *   - The index may name somebody who has it no longer. Each is asked for by name;
 *     beyond HOLDERS_MAX we believe it, and the blob stays for a garbage collection.
 *
 * A grant that the index alone has, because an upstream was asked once whether it has
 * the blob there, holds nothing: it goes, and is asked for again.
 *
 * What was being pulled: the manifest goes first, so that nobody is told of blobs that
 * are about to go. Whoever was told before that by this replica or another has moved the
 * time of its use, a moment after; and a blob that is being sent is open.
 *
 * Where the process may die:
 *
 *   after a manifest     content_remove_manifest has the instants; its blobs stay
 *   after blobs          fewer of them stay; a run that nobody heeds after 120 s
 */
#include "server/maintenance/eviction.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/content/content.h"
#include "server/content/keys.h"
#include "server/oci/manifest.h"
#include "server/oci/name.h"

#include <stdlib.h>
#include <string.h>

#define VICTIMS_MAX ((size_t)32) /* manifests removed between two looks at the index */
#define LISTED_MAX 1000 /* rows looked at to find them */
#define HOLDERS_MAX ((size_t)32)

struct victim {
	char repository[REPOSITORY_STORED_MAX + 1];
	struct digest digest;
};

struct holders {
	char names[HOLDERS_MAX][REPOSITORY_STORED_MAX + 1];
	size_t count;
};

struct eviction {
	struct content *content;
	const struct eviction_options *options;
	struct eviction_summary *summary;
	struct task task; /* the caller's, and keeps the run alive */
	const struct task *outer;
	struct removal removal;
	struct victim victims[VICTIMS_MAX];
	size_t victim_count;
	struct listed_content *blobs; /* of the victims */
	size_t blob_count;
	struct holders holders;
};

enum status eviction_measure(struct content *content, uint64_t *ret_bytes, struct error *error)
{
	struct usage usage = {0};
	enum status status = metadata_get_usage(content_metadata(content), &usage, error);

	if (status == BW_OK)
		*ret_bytes =
			usage.bytes > usage.linked_bytes ? usage.bytes - usage.linked_bytes : 0;
	return status;
}

/* ---- which manifests ---- */

static bool take_victim(void *context, const char *repository, const struct digest *digest,
			int64_t used_at)
{
	struct eviction *eviction = context;
	struct victim *victim = &eviction->victims[eviction->victim_count];

	(void)used_at;
	if (!repository_names_registry(repository) ||
	    !str_copy(victim->repository, sizeof(victim->repository), repository))
		return true;
	victim->digest = *digest;
	return ++eviction->victim_count < VICTIMS_MAX;
}

static enum status find_victims(struct eviction *eviction, struct error *error)
{
	int64_t used_before = clock_wall_ms() - eviction->options->min_age_ms;

	eviction->victim_count = 0;
	return metadata_list_idle_manifests(content_metadata(eviction->content), used_before,
					    LISTED_MAX, take_victim, eviction, error);
}

static void note_blob(struct eviction *eviction, const struct digest *digest, uint64_t size)
{
	eviction->blobs =
		xrealloc(eviction->blobs, (eviction->blob_count + 1) * sizeof(*eviction->blobs));
	eviction->blobs[eviction->blob_count++] =
		(struct listed_content){.digest = *digest, .size = size};
}

/* One that cannot be read has no blobs that we know of, and goes all the same. *ret_bytes:
 * what its blobs come to. */
static enum status note_blobs(struct eviction *eviction, const struct victim *victim,
			      uint64_t *ret_bytes, struct error *error)
{
	struct manifest_entry entry = {0};
	struct manifest parsed = {0};
	struct error trouble = {0};
	enum status status = content_get_manifest(eviction->content, victim->repository,
						  &victim->digest, &entry, &trouble);

	*ret_bytes = 0;
	if (status == BW_OK && manifest_parse(entry.body, entry.body_length, entry.media_type,
					      &parsed, NULL) == BW_OK) {
		for (size_t i = 0; i < parsed.blob_count; i++) {
			note_blob(eviction, &parsed.blobs[i].digest, parsed.blobs[i].size);
			*ret_bytes += parsed.blobs[i].size;
		}
		manifest_release(&parsed);
	}
	note_blob(eviction, &victim->digest, entry.body_length);
	manifest_entry_release(&entry);
	if (status == BW_OK || status == BW_ABSENT || status == BW_CORRUPT)
		return BW_OK;
	if (error)
		*error = trouble;
	return status;
}

/* No more of them than it takes, if nobody else has their blobs. */
static enum status remove_manifests(struct eviction *eviction, uint64_t excess, struct error *error)
{
	enum status status = BW_OK;
	uint64_t expected = 0;

	for (size_t i = 0; status == BW_OK && i < eviction->victim_count && expected < excess;
	     i++) {
		const struct victim *victim = &eviction->victims[i];
		uint64_t bytes;

		status = task_step(&eviction->task, error);
		if (status == BW_OK)
			status = note_blobs(eviction, victim, &bytes, error);
		if (status != BW_OK)
			break;
		expected += bytes;
		status = content_remove_manifest(eviction->content, victim->repository,
						 &victim->digest, error);
		if (status == BW_OK)
			eviction->summary->manifests++;
	}
	return status;
}

/* ---- which of their blobs ---- */

static bool take_holder(void *context, const char *repository)
{
	struct holders *holders = context;

	if (!str_copy(holders->names[holders->count], sizeof(holders->names[0]), repository))
		return true;
	return ++holders->count < HOLDERS_MAX;
}

/* BW_OK: it does. BW_ABSENT: it does not (any more). */
static enum status holds(struct eviction *eviction, const char *repository,
			 const struct digest *digest, struct error *error)
{
	struct metadata_store *metadata = content_metadata(eviction->content);
	struct manifest_entry entry = {0};
	uint64_t size;
	enum status status = BW_OK;

	if (repository_names_registry(repository))
		status = metadata_remove_link(metadata, repository, digest, error);
	if (status == BW_OK)
		status = metadata_get_listed(metadata, repository, digest, &size, error);
	if (status == BW_ABSENT)
		status = metadata_get_manifest(metadata, repository, digest, &entry, error);
	manifest_entry_release(&entry);
	return status;
}

static enum status is_held(struct eviction *eviction, const struct digest *digest, bool *ret_held,
			   struct error *error)
{
	struct holders *holders = &eviction->holders;
	struct error trouble = {0};
	enum status status;

	holders->count = 0;
	status = metadata_list_holders_of(content_metadata(eviction->content), digest, HOLDERS_MAX,
					  take_holder, holders, error);
	if (status != BW_OK)
		return status;
	*ret_held = holders->count == HOLDERS_MAX;
	for (size_t i = 0; !*ret_held && i < holders->count; i++) {
		status = holds(eviction, holders->names[i], digest, &trouble);
		if (status != BW_OK && status != BW_ABSENT) {
			if (error)
				*error = trouble;
			return status;
		}
		*ret_held = status == BW_OK;
	}
	return BW_OK;
}

/* A blob that is listed need not have been fetched. A manifest's body mostly has no row
 * of its own. */
static enum status add_blob(struct eviction *eviction, const struct listed_content *blob,
			    struct error *error)
{
	struct object_info info;
	struct error trouble = {0};
	bool held = false;
	char key[KEY_SIZE];
	enum status status = is_held(eviction, &blob->digest, &held, error);

	if (status != BW_OK)
		return status;
	if (held) {
		eviction->summary->held++;
		return BW_OK;
	}
	key_of_blob(key, &blob->digest);
	status = object_stat(content_objects(eviction->content), key, &info, &trouble);
	if (status == BW_ABSENT)
		return metadata_remove_blob(content_metadata(eviction->content), &blob->digest,
					    error);
	if (status == BW_OK)
		return removal_add_blob(&eviction->removal, &blob->digest, info.size, error);
	if (error)
		*error = trouble;
	return status;
}

static int compare_blobs(const void *a, const void *b)
{
	const struct digest *left = &((const struct listed_content *)a)->digest;
	const struct digest *right = &((const struct listed_content *)b)->digest;

	return memcmp(left->bytes, right->bytes, sizeof(left->bytes));
}

/* At most as many as are condemned at once, so that the index is asked whether it is
 * complete before any of them goes. */
static enum status remove_some(struct eviction *eviction, size_t first, size_t *ret_next,
			       struct error *error)
{
	enum status status = BW_OK;
	size_t i = first;

	for (; status == BW_OK && i < eviction->blob_count &&
	       eviction->removal.batched + 1 < GC_BATCH_MAX;
	     i++) {
		const struct listed_content *blob = &eviction->blobs[i];

		status = task_step(&eviction->task, error);
		if (status == BW_OK && (i == 0 || !digest_equals(&blob->digest, &blob[-1].digest)))
			status = add_blob(eviction, blob, error);
	}
	*ret_next = i;
	if (status != BW_OK)
		return status;
	if (!content_is_complete(eviction->content)) {
		eviction->summary->incomplete = true;
		eviction->removal.batched = 0;
		return BW_OK;
	}
	return removal_flush(&eviction->removal, error);
}

static enum status remove_blobs(struct eviction *eviction, struct error *error)
{
	enum status status = BW_OK;
	size_t next = 0;

	if (eviction->blob_count > 0)
		qsort(eviction->blobs, eviction->blob_count, sizeof(*eviction->blobs),
		      compare_blobs);
	while (status == BW_OK && next < eviction->blob_count && !eviction->summary->incomplete)
		status = remove_some(eviction, next, &next, error);
	eviction->summary->removed = eviction->removal.removed;
	free(eviction->blobs);
	eviction->blobs = NULL;
	eviction->blob_count = 0;
	return status;
}

/* ---- all of it ---- */

static enum status evict_some(struct eviction *eviction, uint64_t target, struct error *error)
{
	struct eviction_summary *summary = eviction->summary;
	enum status status = remove_manifests(eviction, summary->bytes - target, error);
	enum status blobs_status = remove_blobs(eviction, status == BW_OK ? error : NULL);

	/* what lost its manifest goes even if another manifest could not be removed */
	if (status == BW_OK)
		status = blobs_status;
	return status == BW_OK ? eviction_measure(eviction->content, &summary->bytes, error)
			       : status;
}

static enum status evict_to(struct eviction *eviction, uint64_t target, struct error *error)
{
	struct eviction_summary *summary = eviction->summary;
	enum status status = removal_begin(&eviction->removal, error);

	if (status != BW_OK)
		return status;
	status = removal_wait(&eviction->removal, eviction->options->grace_ms, error);
	if (status == BW_OK) /* some may have been asked for meanwhile */
		status = find_victims(eviction, error);
	while (status == BW_OK && summary->bytes > target && eviction->victim_count > 0) {
		summary->incomplete = !content_is_complete(eviction->content);
		if (summary->incomplete)
			break;
		status = evict_some(eviction, target, error);
		if (status == BW_OK && !summary->incomplete)
			status = find_victims(eviction, error);
	}
	removal_end(&eviction->removal);
	return status;
}

static void keep_alive(void *context)
{
	struct eviction *eviction = context;

	removal_hold(&eviction->removal, NULL);
	if (eviction->outer->tick)
		eviction->outer->tick(eviction->outer->context);
}

/* Before anything is begun: most of the time there is nothing to do. */
static enum status look(struct eviction *eviction, struct error *error)
{
	struct eviction_summary *summary = eviction->summary;
	enum status status = eviction_measure(eviction->content, &summary->bytes, error);

	if (status != BW_OK || summary->bytes <= eviction->options->max_bytes)
		return status;
	summary->incomplete = !content_is_complete(eviction->content);
	return summary->incomplete ? BW_OK : find_victims(eviction, error);
}

enum status evict(struct content *content, const struct eviction_options *options,
		  const struct task *task, struct eviction_summary *summary, struct error *error)
{
	struct eviction *eviction = xcalloc(1, sizeof(*eviction));
	enum status status;

	*summary = (struct eviction_summary){0};
	eviction->content = content;
	eviction->options = options;
	eviction->summary = summary;
	eviction->outer = task;
	eviction->task = (struct task){.stop = task->stop, .tick = keep_alive, .context = eviction};
	eviction->removal.content = content;
	eviction->removal.task = task;
	status = look(eviction, error);
	if (status == BW_OK && eviction->victim_count > 0)
		status = evict_to(eviction, options->max_bytes / 10 * 9, error);
	summary->too_young = status == BW_OK && !summary->incomplete &&
			     summary->bytes > options->max_bytes && eviction->victim_count == 0;
	free(eviction);
	return status;
}
