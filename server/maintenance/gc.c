/*
 * Why nothing is lost that was acknowledged.
 *
 * The protocol is that of server/content/references.h; its steps a. to e. are
 * removal_begin, mark_references, removal_flush (both) and removal_end.
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
 */
#include "server/maintenance/gc.h"

#include "server/base/memory.h"
#include "server/content/content.h"
#include "server/content/keys.h"
#include "server/maintenance/removal.h"

#include <stdlib.h>

struct gc {
	struct content *content;
	const struct gc_options *options;
	const struct task *task; /* the caller's */
	struct task alive; /* the same, and keeps the run alive */
	struct task told; /* the same, and says what was removed */
	struct gc_summary *summary;
	struct digest_set *set;
	struct loose_links loose;
	struct removal removal;
};

static void keep_alive(void *context)
{
	struct gc *gc = context;

	removal_hold(&gc->removal, NULL);
	if (gc->task->tick)
		gc->task->tick(gc->task->context);
}

static void tell_removed(void *context)
{
	struct gc *gc = context;
	const struct removed *removed = &gc->removal.removed;

	gc->summary->removed = removed->blobs;
	gc->summary->removed_bytes = removed->bytes;
	gc->summary->unlinked = removed->links;
	gc->summary->kept = removed->kept;
	if (gc->task->tick)
		gc->task->tick(gc->task->context);
}

/* A link that is kept keeps its blob. */
static enum status keep(void *context, const struct digest *digest, struct error *error)
{
	struct gc *gc = context;

	return digest_set_add(gc->set, digest, error);
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
	return removal_add_blob(&gc->removal, &digest, info->size, error);
}

/* Before the blobs: a link that is kept keeps its blob. */
static enum status sweep_links(struct gc *gc, struct error *error)
{
	enum status status = BW_OK;

	for (size_t i = 0; status == BW_OK && i < gc->loose.count; i++)
		status = removal_add_link(&gc->removal, gc->loose.items[i].repository,
					  &gc->loose.items[i].digest, error);
	return status == BW_OK ? removal_flush(&gc->removal, error) : status;
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
	if (status == BW_OK && gc->options->remove)
		status = removal_flush(&gc->removal, error);
	return status;
}

static enum status remove_garbage(struct gc *gc, struct error *error)
{
	enum status status = removal_begin(&gc->removal, error);

	if (status != BW_OK)
		return status;
	status = removal_wait(&gc->removal, gc->options->grace_ms, error);
	if (status == BW_OK)
		status = mark_and_sweep(gc, error);
	removal_end(&gc->removal);
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
	gc->told = (struct task){.stop = task->stop, .tick = tell_removed, .context = gc};
	gc->summary = summary;
	gc->set = digest_set_new();
	gc->removal.content = content;
	gc->removal.task = &gc->told;
	gc->removal.keep = keep;
	gc->removal.context = gc;
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
