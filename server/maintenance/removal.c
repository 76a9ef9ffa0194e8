#include "server/maintenance/removal.h"

#include "server/content/content.h"
#include "server/content/keys.h"

#include <time.h>

#define SLICE_MS 2000
#define NAP_MS 20

enum status removal_begin(struct removal *removal, struct error *error)
{
	struct object_store *objects = content_objects(removal->content);
	enum status status = gc_clear_dead(objects, error);

	return status == BW_OK ? gc_run_begin(&removal->run, objects, error) : status;
}

/* A run that could not be refreshed this once may still be the next time; one that
 * has lost its hold is found out before anything is removed. */
enum status removal_hold(struct removal *removal, struct error *error)
{
	struct error trouble = {0};

	if (gc_run_refresh(&removal->run, &trouble) != BW_CANCELLED)
		return BW_OK;
	if (error)
		*error = trouble;
	return BW_CANCELLED;
}

enum status removal_wait(struct removal *removal, int64_t ms, struct error *error)
{
	const struct timespec nap = {.tv_nsec = NAP_MS * 1000000};
	deadline_ms end = deadline_in(ms);
	enum status status = task_step(removal->task, error);

	while (status == BW_OK && !deadline_passed(end)) {
		nanosleep(&nap, NULL);
		status = task_step(removal->task, error);
		if (status == BW_OK)
			status = removal_hold(removal, error);
	}
	return status;
}

static enum status remove_blob(struct removal *removal, const struct digest *digest, uint64_t size,
			       struct error *error)
{
	char key[KEY_SIZE];
	enum status status = removal_hold(removal, error);

	if (status != BW_OK)
		return status;
	key_of_blob(key, digest);
	status = object_remove(content_objects(removal->content), key, error);
	if (status != BW_OK)
		return status;
	removal->removed.blobs++;
	removal->removed.bytes += size;
	if (!gc_run_alive(&removal->run))
		return error_set(error, BW_CANCELLED,
				 "%s took so long to remove that a push may have counted on it; "
				 "whoever pushed it just now should push it again",
				 key);
	return metadata_remove_blob(content_metadata(removal->content), digest, error);
}

static enum status unlink_blob(struct removal *removal, const char *repository,
			       const struct digest *digest, struct error *error)
{
	enum status status = removal_hold(removal, error);

	if (status == BW_OK)
		status = content_unlink_blob(removal->content, repository, digest, error);
	if (status != BW_OK)
		return status;
	removal->removed.links++;
	if (!gc_run_alive(&removal->run))
		return error_set(error, BW_CANCELLED,
				 "a link in \"%s\" took so long to remove that a push may have "
				 "counted on it",
				 repository);
	return BW_OK;
}

/* Refusals are answers. */
static bool may_still_happen(enum status status)
{
	return status == BW_TIMEOUT || status == BW_UNREACHABLE || status == BW_UNAVAILABLE;
}

static enum status remove_unless_kept(struct removal *removal, size_t at, struct error *error)
{
	const struct digest *digest = &removal->batch[at];
	bool kept = false;
	enum status status = gc_run_is_kept(&removal->run, digest, &kept, error);

	if (status != BW_OK)
		return status;
	if (!kept) {
		const char *repository = removal->repositories[at];

		status = repository ? unlink_blob(removal, repository, digest, error)
				    : remove_blob(removal, digest, removal->sizes[at], error);
		removal->unanswered |= may_still_happen(status);
		return status;
	}
	removal->removed.kept++;
	return removal->keep ? removal->keep(removal->context, digest, error) : BW_OK;
}

/* Removes what is condemned, from `first` on, for as long as a slice lasts. */
static enum status remove_slice(struct removal *removal, size_t *first, struct error *error)
{
	deadline_ms end = deadline_in(SLICE_MS);
	enum status status = BW_OK;

	do {
		status = remove_unless_kept(removal, (*first)++, error);
		if (removal->task->tick)
			removal->task->tick(removal->task->context);
	} while (status == BW_OK && *first < removal->batched && !deadline_passed(end));
	return status;
}

enum status removal_flush(struct removal *removal, struct error *error)
{
	enum status status = BW_OK;
	size_t first = 0;

	while (status == BW_OK && first < removal->batched) {
		status = removal_hold(removal, error);
		if (status == BW_OK)
			status = gc_run_condemn(&removal->run, removal->batch + first,
						removal->batched - first, error);
		if (status == BW_OK)
			status = remove_slice(removal, &first, error);
		if (status == BW_OK)
			status = gc_run_acquit(&removal->run, error);
	}
	removal->batched = 0;
	return status;
}

static enum status add(struct removal *removal, const char *repository, const struct digest *digest,
		       uint64_t size, struct error *error)
{
	removal->batch[removal->batched] = *digest;
	removal->repositories[removal->batched] = repository;
	removal->sizes[removal->batched++] = size;
	return removal->batched < GC_BATCH_MAX ? BW_OK : removal_flush(removal, error);
}

enum status removal_add_blob(struct removal *removal, const struct digest *digest, uint64_t size,
			     struct error *error)
{
	return add(removal, NULL, digest, size, error);
}

enum status removal_add_link(struct removal *removal, const char *repository,
			     const struct digest *digest, struct error *error)
{
	return add(removal, repository, digest, 0, error);
}

void removal_end(struct removal *removal)
{
	if (!removal->unanswered)
		gc_run_end(&removal->run);
}
