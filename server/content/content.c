#include "server/content/content_private.h"

#include "server/base/clock.h"
#include "server/base/lru.h"
#include "server/base/memory.h"
#include "server/content/references.h"

#include <stdlib.h>
#include <string.h>

/* ---- marks ---- */

/* What is remembered is asked for again after this long; and sooner, when a change by
 * another process, or the loss of the index, would not be heard of. */
#define MARK_KEPT_MS 60000
#define MARK_KEPT_UNHEARD_MS 2000
#define MARKS_BYTES ((size_t)4 << 20)

struct mark {
	_Atomic unsigned references;
	deadline_ms until;
	bool value;
};

static void *mark_ref(void *value)
{
	struct mark *mark = value;

	atomic_fetch_add_explicit(&mark->references, 1, memory_order_relaxed);
	return mark;
}

static void mark_unref(void *value)
{
	struct mark *mark = value;

	if (atomic_fetch_sub_explicit(&mark->references, 1, memory_order_acq_rel) == 1)
		free(mark);
}

static struct lru *marks_new(void)
{
	static const struct lru_ops mark_ops = {.ref = mark_ref, .unref = mark_unref};

	return lru_new(MARKS_BYTES, &mark_ops);
}

bool content_mark_get(struct content *content, struct lru *marks, const char *name, bool *ret_value)
{
	struct mark *mark = lru_get(marks, name);
	bool good;

	if (!mark)
		return false;
	good = !deadline_passed(mark->until);
	if (good && deadline_left_ms(mark->until) < MARK_KEPT_MS - MARK_KEPT_UNHEARD_MS)
		good = metadata_is_watched(content->metadata);
	if (good)
		*ret_value = mark->value;
	mark_unref(mark);
	return good;
}

void content_mark_put(struct lru *marks, const char *name, bool value)
{
	struct mark *mark = xcalloc(1, sizeof(*mark));

	atomic_init(&mark->references, 1);
	mark->until = deadline_in(MARK_KEPT_MS);
	mark->value = value;
	lru_put(marks, name, mark, sizeof(*mark) + strlen(name));
	mark_unref(mark);
}

/* ---- life ---- */

struct content *content_new(struct object_store *objects, struct metadata_store *metadata)
{
	struct content *content = xcalloc(1, sizeof(*content));

	content->objects = objects;
	content->metadata = metadata;
	content->scanned = marks_new();
	content->known_repositories = marks_new();
	content->settle_patience_ms = REFERENCES_PATIENCE_MS;
	return content;
}

void content_free(struct content *content)
{
	if (!content)
		return;
	lru_free(content->scanned);
	lru_free(content->known_repositories);
	free(content);
}

struct object_store *content_objects(struct content *content)
{
	return content->objects;
}

struct metadata_store *content_metadata(struct content *content)
{
	return content->metadata;
}

enum status content_get_document(struct content *content, const char *repository, const char *kind,
				 const char *key, struct document_entry *ret, struct error *error)
{
	return metadata_get_document(content->metadata, repository, kind, key, ret, error);
}

enum status content_put_document(struct content *content, const char *repository, const char *kind,
				 const char *key, const struct document_entry *entry,
				 struct error *error)
{
	return metadata_put_document(content->metadata, repository, kind, key, entry, error);
}
