/*
 * Why nothing is lost that was acknowledged.
 *
 * The protocol is that of server/content/references.h; its steps a. to e. are
 * gc_run_begin, mark_references, gc_run_condemn, remove_slice and gc_run_end below.
 * Take a blob that this run removes, and a reference to it that somebody makes. The
 * object store is linearizable (a file system, S3): the reference came to be seen
 * by every process either before or after our references were read. (What a
 * process has only put off to the next flush does not count as stored yet: it
 * settles once more when it has been.)
 *
 *   - It was there when the reading began, and nobody removed it meanwhile: the
 *     reading fails or sees it; if it fails nothing is removed. The set of what is
 *     referred to never forgets a digest, and no other one can take its place
 *     (digest_set.h): a mistake there keeps garbage, and does not lose anything.
 *   - It was stored later, or moved from a place not read yet to one already read
 *     (a mount, then a deletion): then it was stored after the run began, and
 *     whoever stored it settles and sees the run. They say that they keep the
 *     digest, and then look what is condemned. We condemn, and then ask what is
 *     kept. Whatever the order of these four, at least one of us sees the other:
 *     either we spare the digest, or they wait until we are through with it, and
 *     then find out for themselves whether the bytes are there.
 *   - Whoever settled before the run began, and has put off the reference to a flush
 *     that takes longer than all of our reading, may find their bytes gone when they
 *     settle again. They have acknowledged nothing, but must ask for the bytes once
 *     more. So that this is rare, the reading waits for grace_ms first.
 *   - A manifest's record may be there while its body is still to come: what it
 *     lists is not known yet. Whoever stores it settles for what it lists as well,
 *     after the record and before the body. The one thing that can slip through is
 *     a run that begins between that and the body. In a local repository each blob
 *     has a link of its own, and each manifest of an index a record, so nothing
 *     hangs on it; of a cached image a blob may go, and is fetched anew.
 *   - A manifest that is there and cannot be read might list anything. Then nothing
 *     at all is removed.
 *
 *
 * A link that no manifest of its repository lists is a reference only while it is
 * young. An old one is removed as a blob is: its digest is condemned, and it is
 * spared when that is kept. Whoever counts on an old link renews it or says so:
 *
 *   - a push of the blob, or a mount, writes the link anew before it settles. Either we
 *     read the younger one, or the digest is kept, or they find the link gone and
 *     write it once more;
 *   - a push of a manifest settles for what it lists when its record is there, and
 *     then looks whether the links it counted on still are (content_push.c). Before
 *     that, a client that was told of an old blob by a HEAD may have to push it: its
 *     manifest is refused until then.
 *
 * We are believed only while we live. Each removal is preceded by a look at the
 * clock (gc_run_alive): a run that was held up for longer than 30 s removes nothing
 * more, and no one ignores a run that was refreshed within 120 s. A single request
 * that takes longer than the difference is told about by name.
 *
 * Several collections at once are as safe as each of them: every step above is
 * between one run and one reference, and removing an object twice is no different
 * from once. A death at any instant leaves whole blobs, a run that nobody heeds
 * after 120 s, and at worst rows of the index for a blob that is gone, which
 * whoever opens it takes away.
 *
 * While a batch is condemned, pushes of just these digests wait. A batch is at most
 * GC_BATCH_MAX digests and is acquitted after SLICE_MS, whatever the disk takes for
 * a removal; the rest is condemned again.
 */
#include "server/maintenance/gc.h"

#include "server/base/memory.h"
#include "server/content/content.h"
#include "server/content/gc_files.h"
#include "server/content/keys.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLICE_MS 2000
#define NAP_MS 20

struct gc {
	struct content *content;
	const struct gc_options *options;
	const struct task *task; /* the caller's */
	struct task alive; /* the same, and keeps the run alive */
	struct gc_summary *summary;
	struct digest_set *set;
	struct loose_links loose;
	struct gc_run run;
	struct digest batch[GC_BATCH_MAX];
	uint64_t sizes[GC_BATCH_MAX];
	const char *repositories[GC_BATCH_MAX]; /* whose link it is; NULL: the blob itself */
	size_t batched;
};

/* A run that could not be refreshed this once may still be the next time; one that
 * has lost its hold is found out before anything is removed. */
static void keep_alive(void *context)
{
	struct gc *gc = context;

	gc_run_refresh(&gc->run, NULL);
	if (gc->task->tick)
		gc->task->tick(gc->task->context);
}

static enum status hold(struct gc *gc, struct error *error)
{
	struct error trouble = {0};

	if (gc_run_refresh(&gc->run, &trouble) != BW_CANCELLED)
		return BW_OK;
	if (error)
		*error = trouble;
	return BW_CANCELLED;
}

static enum status remove_one(struct gc *gc, const struct digest *digest, uint64_t size,
			      struct error *error)
{
	char key[KEY_SIZE];
	enum status status = hold(gc, error);

	if (status != BW_OK)
		return status;
	key_of_blob(key, digest);
	status = object_remove(content_objects(gc->content), key, error);
	if (status != BW_OK)
		return status;
	gc->summary->removed++;
	gc->summary->removed_bytes += size;
	if (!gc_run_alive(&gc->run))
		return error_set(error, BW_CANCELLED,
				 "%s took so long to remove that a push may have counted on it; "
				 "whoever pushed it just now should push it again",
				 key);
	return metadata_remove_blob(content_metadata(gc->content), digest, error);
}

static enum status unlink_one(struct gc *gc, const char *repository, const struct digest *digest,
			      struct error *error)
{
	enum status status = hold(gc, error);

	if (status == BW_OK)
		status = content_unlink_blob(gc->content, repository, digest, error);
	if (status != BW_OK)
		return status;
	gc->summary->unlinked++;
	if (!gc_run_alive(&gc->run))
		return error_set(error, BW_CANCELLED,
				 "a link in \"%s\" took so long to remove that a push may have "
				 "counted on it",
				 repository);
	return BW_OK;
}

static enum status remove_unless_kept(struct gc *gc, size_t at, struct error *error)
{
	bool kept = false;
	enum status status = gc_run_is_kept(&gc->run, &gc->batch[at], &kept, error);

	if (status != BW_OK)
		return status;
	if (!kept && gc->repositories[at])
		return unlink_one(gc, gc->repositories[at], &gc->batch[at], error);
	if (!kept)
		return remove_one(gc, &gc->batch[at], gc->sizes[at], error);
	gc->summary->kept++;
	return digest_set_add(gc->set, &gc->batch[at], error);
}

/* Removes what is condemned, from `first` on, for as long as a slice lasts. */
static enum status remove_slice(struct gc *gc, size_t *first, struct error *error)
{
	deadline_ms end = deadline_in(SLICE_MS);
	enum status status = BW_OK;

	do {
		status = remove_unless_kept(gc, (*first)++, error);
		if (gc->task->tick)
			gc->task->tick(gc->task->context);
	} while (status == BW_OK && *first < gc->batched && !deadline_passed(end));
	return status;
}

static enum status remove_batch(struct gc *gc, struct error *error)
{
	enum status status = BW_OK;
	size_t first = 0;

	while (status == BW_OK && first < gc->batched) {
		status = hold(gc, error);
		if (status == BW_OK)
			status = gc_run_condemn(&gc->run, gc->batch + first, gc->batched - first,
						error);
		if (status == BW_OK)
			status = remove_slice(gc, &first, error);
		if (status == BW_OK)
			status = gc_run_acquit(&gc->run, error);
	}
	gc->batched = 0;
	return status;
}

static enum status sweep_blob(void *context, const char *key, const struct object_info *info,
			      struct error *error)
{
	struct gc *gc = context;
	struct digest digest;

	if (!key_parse_blob(key, &digest))
		return BW_OK;
	gc->summary->seen++;
	gc->summary->seen_bytes += info->size;
	if (digest_set_has(gc->set, &digest))
		return BW_OK;
	gc->summary->garbage++;
	gc->summary->garbage_bytes += info->size;
	if (!gc->options->remove)
		return BW_OK;
	gc->batch[gc->batched] = digest;
	gc->repositories[gc->batched] = NULL;
	gc->sizes[gc->batched++] = info->size;
	return gc->batched < GC_BATCH_MAX ? BW_OK : remove_batch(gc, error);
}

/* Before the blobs: a link that is kept keeps its blob. */
static enum status sweep_links(struct gc *gc, struct error *error)
{
	enum status status = BW_OK;

	for (size_t i = 0; status == BW_OK && i < gc->loose.count; i++) {
		gc->batch[gc->batched] = gc->loose.items[i].digest;
		gc->repositories[gc->batched++] = gc->loose.items[i].repository;
		if (gc->batched == GC_BATCH_MAX || i + 1 == gc->loose.count)
			status = remove_batch(gc, error);
	}
	return status;
}

static enum status mark_and_sweep(struct gc *gc, struct error *error)
{
	struct object_store *objects = content_objects(gc->content);
	const struct task *task = gc->options->remove ? &gc->alive : gc->task;
	int64_t loose_before = clock_wall_ms() - gc->options->link_max_age_ms;
	enum status status;

	gc->summary->stage = GC_MARKING;
	status = mark_references(gc->content, task, loose_before, gc->set, &gc->loose,
				 &gc->summary->marked, error);
	if (status != BW_OK)
		return status;
	gc->summary->referenced = digest_set_count(gc->set);
	gc->summary->stage = GC_SWEEPING;
	if (gc->options->remove)
		status = sweep_links(gc, error);
	if (status == BW_OK)
		status = walk_keys(objects, "blobs/", task, sweep_blob, gc, error);
	if (status == BW_OK && gc->batched > 0)
		status = remove_batch(gc, error);
	return status;
}

static enum status wait_for_flushes(struct gc *gc, struct error *error)
{
	const struct timespec nap = {.tv_nsec = NAP_MS * 1000000};
	deadline_ms end = deadline_in(gc->options->grace_ms);
	enum status status = task_step(&gc->alive, error);

	while (status == BW_OK && !deadline_passed(end)) {
		nanosleep(&nap, NULL);
		status = task_step(&gc->alive, error);
	}
	return status;
}

static enum status remove_garbage(struct gc *gc, struct error *error)
{
	struct object_store *objects = content_objects(gc->content);
	enum status status = gc_clear_dead(objects, error);

	if (status == BW_OK)
		status = gc_run_begin(&gc->run, objects, error);
	if (status != BW_OK)
		return status;
	status = wait_for_flushes(gc, error);
	if (status == BW_OK)
		status = mark_and_sweep(gc, error);
	gc_run_end(&gc->run);
	return status;
}

enum status gc_collect(struct content *content, const struct gc_options *options,
		       const struct task *task, struct gc_summary *summary, struct error *error)
{
	struct gc *gc = xcalloc(1, sizeof(*gc));
	enum status status;

	*summary = (struct gc_summary){.stage = GC_UPLOADS};
	gc->content = content;
	gc->options = options;
	gc->task = task;
	gc->alive = (struct task){.stop = task->stop, .tick = keep_alive, .context = gc};
	gc->summary = summary;
	gc->set = digest_set_new();
	status = expire_uploads(content, options->upload_max_age_ms, options->remove, task,
				&summary->uploads, error);
	if (status == BW_OK)
		status = options->remove ? remove_garbage(gc, error) : mark_and_sweep(gc, error);
	if (status == BW_OK)
		summary->stage = GC_ENDED;
	digest_set_free(gc->set);
	loose_links_release(&gc->loose);
	free(gc);
	return status;
}
