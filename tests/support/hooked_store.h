/*
 * An object store that calls a test before and after what it does: how a test
 * lets somebody else act between two steps of a function.
 */
#ifndef TESTS_SUPPORT_HOOKED_STORE_H
#define TESTS_SUPPORT_HOOKED_STORE_H

#include "backends/object_store.h"
#include "server/base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct hooks {
	/* `action` is the table's name of it, `key` what it is called with. NULL: none.
	 * Called on the thread that calls the store; may use the store, which then
	 * calls no hook of that thread. */
	void (*before)(void *context, const char *action, const char *key);
	void (*after)(void *context, const char *action, const char *key);
	void *context;
	_Atomic unsigned puts[PUT_REPLACE_SOON + 1]; /* by mode */
};

struct hooked_store {
	struct object_store base;
	struct object_store *inner; /* owned */
	struct hooks *hooks; /* the test's */
};

static _Thread_local bool hooked_inside;

static inline struct hooked_store *hooked(struct object_store *store)
{
	return container_of(store, struct hooked_store, base);
}

static inline void hooked_call(void (*hook)(void *, const char *, const char *), void *context,
			       const char *action, const char *key)
{
	if (!hook || hooked_inside)
		return;
	hooked_inside = true;
	hook(context, action, key);
	hooked_inside = false;
}

#define HOOKED(store, action, key, call) \
	do { \
		struct hooks *hooks_ = hooked(store)->hooks; \
		enum status status_; \
\
		hooked_call(hooks_->before, hooks_->context, action, key); \
		status_ = call; \
		hooked_call(hooks_->after, hooks_->context, action, key); \
		return status_; \
	} while (0)

static inline enum status hooked_stat(struct object_store *store, const char *key,
				      struct object_info *ret_info, struct error *error)
{
	HOOKED(store, "stat", key, object_stat(hooked(store)->inner, key, ret_info, error));
}

static inline enum status hooked_open(struct object_store *store, const char *key,
				      struct object_reader **ret_reader, struct error *error)
{
	HOOKED(store, "open", key, object_open(hooked(store)->inner, key, ret_reader, error));
}

static inline enum status hooked_put(struct object_store *store, const char *key, const void *bytes,
				     size_t length, enum put_mode mode, struct error *error)
{
	if (!hooked_inside)
		hooked(store)->hooks->puts[mode]++;
	HOOKED(store, "put", key,
	       object_put(hooked(store)->inner, key, bytes, length, mode, error));
}

static inline enum status hooked_create(struct object_store *store, const char *key,
					struct object_writer **ret_writer, struct error *error)
{
	HOOKED(store, "create", key, object_create(hooked(store)->inner, key, ret_writer, error));
}

static inline enum status hooked_adopt(struct object_store *store, const char *key,
				       const char *path, struct error *error)
{
	HOOKED(store, "adopt", key, object_adopt(hooked(store)->inner, key, path, error));
}

static inline enum status hooked_part_create(struct object_store *store, const char *upload,
					     unsigned part_number, struct part_writer **ret_writer,
					     struct error *error)
{
	return object_part_create(hooked(store)->inner, upload, part_number, ret_writer, error);
}

static inline enum status hooked_part_open(struct object_store *store, const char *upload,
					   const struct object_part *part,
					   struct object_reader **ret_reader, struct error *error)
{
	return object_part_open(hooked(store)->inner, upload, part, ret_reader, error);
}

static inline enum status hooked_part_remove(struct object_store *store, const char *upload,
					     const struct object_part *part, struct error *error)
{
	return object_part_remove(hooked(store)->inner, upload, part, error);
}

static inline enum status hooked_parts_commit(struct object_store *store, const char *upload,
					      const struct object_part *parts, size_t count,
					      const char *key, struct error *error)
{
	HOOKED(store, "parts_commit", key,
	       object_parts_commit(hooked(store)->inner, upload, parts, count, key, error));
}

static inline enum status hooked_parts_discard(struct object_store *store, const char *upload,
					       struct error *error)
{
	return object_parts_discard(hooked(store)->inner, upload, error);
}

static inline enum status hooked_parts_list(struct object_store *store, part_list_fn fn,
					    void *context, struct error *error)
{
	return object_parts_list(hooked(store)->inner, fn, context, error);
}

static inline enum status hooked_remove(struct object_store *store, const char *key,
					struct error *error)
{
	HOOKED(store, "remove", key, object_remove(hooked(store)->inner, key, error));
}

static inline enum status hooked_list(struct object_store *store, const char *prefix,
				      const char *start_after, object_list_fn fn, void *context,
				      struct error *error)
{
	HOOKED(store, "list", prefix,
	       object_list(hooked(store)->inner, prefix, start_after, fn, context, error));
}

static inline enum status hooked_check(struct object_store *store, struct error *error)
{
	return object_check(hooked(store)->inner, error);
}

static inline void hooked_free(struct object_store *store)
{
	object_store_free(hooked(store)->inner);
	free(hooked(store));
}

/* Owns `inner`; `hooks` is the caller's and outlives it. */
static inline struct object_store *hooked_store_new(struct object_store *inner, struct hooks *hooks)
{
	static const struct object_store_ops ops = {
		.name = "hooked",
		.stat = hooked_stat,
		.open = hooked_open,
		.put = hooked_put,
		.create = hooked_create,
		.adopt = hooked_adopt,
		.part_create = hooked_part_create,
		.part_open = hooked_part_open,
		.part_remove = hooked_part_remove,
		.parts_commit = hooked_parts_commit,
		.parts_discard = hooked_parts_discard,
		.parts_list = hooked_parts_list,
		.remove = hooked_remove,
		.list = hooked_list,
		.check = hooked_check,
		.free = hooked_free,
	};
	struct hooked_store *store = xcalloc(1, sizeof(*store));

	store->base.ops = &ops;
	store->inner = inner;
	store->hooks = hooks;
	return &store->base;
}

#endif
