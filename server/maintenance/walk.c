#include "server/maintenance/walk.h"

#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

/* A page ends after so many keys, or when so much time has gone into it: a disk
 * that seeks for every key must not keep a collection from renewing its run. */
#define PAGE_KEYS ((size_t)10000)
#define PAGE_MS 2000

struct page {
	struct buf keys; /* each with its NUL */
	struct object_info infos[PAGE_KEYS];
	size_t count;
	deadline_ms until;
	bool is_last;
};

enum status task_step(const struct task *task, struct error *error)
{
	if (task->tick)
		task->tick(task->context);
	if (task->stop && atomic_load(task->stop))
		return error_set(error, BW_CANCELLED, "stopped");
	return BW_OK;
}

static bool collect(void *context, const char *key, const struct object_info *info)
{
	struct page *page = context;

	buf_append(&page->keys, key, strlen(key) + 1);
	page->infos[page->count++] = *info;
	page->is_last = page->count < PAGE_KEYS && !deadline_passed(page->until);
	return page->is_last;
}

static enum status visit(const struct page *page, const struct task *task, walk_fn fn,
			 void *context, struct error *error)
{
	const char *key = page->keys.data;

	for (size_t i = 0; i < page->count; i++) {
		enum status status = task_step(task, error);

		if (status == BW_OK)
			status = fn(context, key, &page->infos[i], error);
		if (status != BW_OK)
			return status;
		key += strlen(key) + 1;
	}
	return BW_OK;
}

/* The last key of the page, for the next one to begin behind. */
static void remember_last(const struct page *page, char after[OBJECT_KEY_MAX + 1])
{
	const char *key = page->keys.data;

	for (size_t i = 0; i + 1 < page->count; i++)
		key += strlen(key) + 1;
	if (page->count)
		str_copy(after, OBJECT_KEY_MAX + 1, key);
}

enum status walk_keys(struct object_store *objects, const char *prefix, const struct task *task,
		      walk_fn fn, void *context, struct error *error)
{
	struct page *page = xcalloc(1, sizeof(*page));
	char after[OBJECT_KEY_MAX + 1] = "";
	enum status status = BW_OK;

	page->keys = BUF_INIT(PAGE_KEYS * (OBJECT_KEY_MAX + 1));
	while (status == BW_OK && !page->is_last) {
		buf_reset(&page->keys);
		page->count = 0;
		page->is_last = true;
		page->until = deadline_in(PAGE_MS);
		status = object_list(objects, prefix, after, collect, page, error);
		if (status == BW_OK)
			status = visit(page, task, fn, context, error);
		remember_last(page, after);
	}
	buf_release(&page->keys);
	free(page);
	return status;
}
