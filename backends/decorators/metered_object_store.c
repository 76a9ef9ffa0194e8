#include "backends/decorators/metered.h"
#include "backends/decorators/metered_store.h"
#include "server/base/memory.h"

#include <stdlib.h>

/* The table is a copy with the inner store's name: who asks what store this is
 * means the one inside. */
struct metered_object_store {
	struct object_store base;
	struct object_store_ops ops;
	struct object_store *inner;
};

struct metered_reader {
	struct object_reader base;
	struct object_reader *inner;
	const char *store;
};

struct metered_writer {
	struct object_writer base;
	struct object_writer *inner;
	const char *store;
};

struct metered_part_writer {
	struct part_writer base;
	struct part_writer *inner;
	const char *store;
};

static struct metered_object_store *metered(struct object_store *store)
{
	return container_of(store, struct metered_object_store, base);
}

static enum status end(struct object_store *base, const char *action, int64_t start,
		       enum status status)
{
	return metered_end(base->ops->name, action, start, status);
}

static enum status metered_stat(struct object_store *base, const char *key,
				struct object_info *ret_info, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "stat", start, object_stat(metered(base)->inner, key, ret_info, error));
}

static enum status reader_read(struct object_reader *base, uint64_t offset, void *target,
			       size_t length, deadline_ms deadline, size_t *ret_length,
			       struct error *error)
{
	struct metered_reader *reader = container_of(base, struct metered_reader, base);
	int64_t start = clock_monotonic_us();

	return metered_end(
		reader->store, "read", start,
		object_read(reader->inner, offset, target, length, deadline, ret_length, error));
}

static int reader_file(struct object_reader *base)
{
	return object_reader_file(container_of(base, struct metered_reader, base)->inner);
}

static void reader_close(struct object_reader *base)
{
	struct metered_reader *reader = container_of(base, struct metered_reader, base);

	object_close(reader->inner);
	free(reader);
}

static const struct object_reader_ops metered_reader_ops = {
	.read = reader_read,
	.file = reader_file,
	.close = reader_close,
};

static struct object_reader *wrap_reader(struct object_store *base, struct object_reader *inner)
{
	struct metered_reader *reader = xmalloc(sizeof(*reader));

	*reader = (struct metered_reader){
		.base = {.ops = &metered_reader_ops, .info = inner->info},
		.inner = inner,
		.store = base->ops->name,
	};
	return &reader->base;
}

static enum status metered_open(struct object_store *base, const char *key,
				struct object_reader **ret_reader, struct error *error)
{
	int64_t start = clock_monotonic_us();
	struct object_reader *inner = NULL;
	enum status status =
		end(base, "open", start, object_open(metered(base)->inner, key, &inner, error));

	if (!status)
		*ret_reader = wrap_reader(base, inner);
	return status;
}

static enum status metered_put(struct object_store *base, const char *key, const void *bytes,
			       size_t length, enum put_mode mode, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "put", start,
		   object_put(metered(base)->inner, key, bytes, length, mode, error));
}

static enum status writer_write(struct object_writer *base, const void *bytes, size_t length,
				struct error *error)
{
	struct metered_writer *writer = container_of(base, struct metered_writer, base);
	int64_t start = clock_monotonic_us();

	return metered_end(writer->store, "write", start,
			   object_write(writer->inner, bytes, length, error));
}

static enum status writer_commit(struct object_writer *base, struct error *error)
{
	struct metered_writer *writer = container_of(base, struct metered_writer, base);
	int64_t start = clock_monotonic_us();
	enum status status =
		metered_end(writer->store, "commit", start, object_commit(writer->inner, error));

	free(writer);
	return status;
}

static void writer_abort(struct object_writer *base)
{
	struct metered_writer *writer = container_of(base, struct metered_writer, base);

	object_abort(writer->inner);
	free(writer);
}

static const struct object_writer_ops metered_writer_ops = {
	.write = writer_write,
	.commit = writer_commit,
	.abort = writer_abort,
};

static enum status metered_create(struct object_store *base, const char *key,
				  struct object_writer **ret_writer, struct error *error)
{
	int64_t start = clock_monotonic_us();
	struct object_writer *inner = NULL;
	struct metered_writer *writer;
	enum status status =
		end(base, "create", start, object_create(metered(base)->inner, key, &inner, error));

	if (status)
		return status;
	writer = xmalloc(sizeof(*writer));
	*writer = (struct metered_writer){
		.base = {.ops = &metered_writer_ops},
		.inner = inner,
		.store = base->ops->name,
	};
	*ret_writer = &writer->base;
	return BW_OK;
}

static enum status metered_adopt(struct object_store *base, const char *key, const char *path,
				 struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "adopt", start, object_adopt(metered(base)->inner, key, path, error));
}

/* ---- parts ---- */

static enum status part_write(struct part_writer *base, const void *bytes, size_t length,
			      struct error *error)
{
	struct metered_part_writer *writer = container_of(base, struct metered_part_writer, base);
	int64_t start = clock_monotonic_us();

	return metered_end(writer->store, "part_write", start,
			   object_part_write(writer->inner, bytes, length, error));
}

static enum status part_finish(struct part_writer *base, struct object_part *ret_part,
			       struct error *error)
{
	struct metered_part_writer *writer = container_of(base, struct metered_part_writer, base);
	int64_t start = clock_monotonic_us();
	enum status status = metered_end(writer->store, "part_finish", start,
					 object_part_finish(writer->inner, ret_part, error));

	free(writer);
	return status;
}

static void part_abort(struct part_writer *base)
{
	struct metered_part_writer *writer = container_of(base, struct metered_part_writer, base);

	object_part_abort(writer->inner);
	free(writer);
}

static const struct part_writer_ops metered_part_writer_ops = {
	.write = part_write,
	.finish = part_finish,
	.abort = part_abort,
};

static enum status metered_part_create(struct object_store *base, const char *upload,
				       unsigned part_number, struct part_writer **ret_writer,
				       struct error *error)
{
	int64_t start = clock_monotonic_us();
	struct part_writer *inner = NULL;
	struct metered_part_writer *writer;
	enum status status =
		end(base, "part_create", start,
		    object_part_create(metered(base)->inner, upload, part_number, &inner, error));

	if (status)
		return status;
	writer = xmalloc(sizeof(*writer));
	*writer = (struct metered_part_writer){
		.base = {.ops = &metered_part_writer_ops},
		.inner = inner,
		.store = base->ops->name,
	};
	*ret_writer = &writer->base;
	return BW_OK;
}

static enum status metered_part_open(struct object_store *base, const char *upload,
				     const struct object_part *part,
				     struct object_reader **ret_reader, struct error *error)
{
	int64_t start = clock_monotonic_us();
	struct object_reader *inner = NULL;
	enum status status =
		end(base, "part_open", start,
		    object_part_open(metered(base)->inner, upload, part, &inner, error));

	if (!status)
		*ret_reader = wrap_reader(base, inner);
	return status;
}

static enum status metered_part_remove(struct object_store *base, const char *upload,
				       const struct object_part *part, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "part_remove", start,
		   object_part_remove(metered(base)->inner, upload, part, error));
}

static enum status metered_parts_commit(struct object_store *base, const char *upload,
					const struct object_part *parts, size_t count,
					const char *key, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "parts_commit", start,
		   object_parts_commit(metered(base)->inner, upload, parts, count, key, error));
}

static enum status metered_parts_discard(struct object_store *base, const char *upload,
					 struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "parts_discard", start,
		   object_parts_discard(metered(base)->inner, upload, error));
}

static enum status metered_parts_list(struct object_store *base, part_list_fn fn, void *context,
				      struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "parts_list", start,
		   object_parts_list(metered(base)->inner, fn, context, error));
}

/* ---- the rest ---- */

static enum status metered_remove(struct object_store *base, const char *key, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "remove", start, object_remove(metered(base)->inner, key, error));
}

static enum status metered_list(struct object_store *base, const char *prefix,
				const char *start_after, object_list_fn fn, void *context,
				struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "list", start,
		   object_list(metered(base)->inner, prefix, start_after, fn, context, error));
}

static enum status metered_presign(struct object_store *base, const char *key, unsigned seconds,
				   char **ret_url, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "presign", start,
		   object_presign(metered(base)->inner, key, seconds, ret_url, error));
}

static enum status metered_check(struct object_store *base, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "check", start, object_check(metered(base)->inner, error));
}

static void metered_free(struct object_store *base)
{
	struct metered_object_store *store = metered(base);

	object_store_free(store->inner);
	free(store);
}

static const struct object_store_ops metered_ops = {
	.stat = metered_stat,
	.open = metered_open,
	.put = metered_put,
	.create = metered_create,
	.adopt = metered_adopt,
	.part_create = metered_part_create,
	.part_open = metered_part_open,
	.part_remove = metered_part_remove,
	.parts_commit = metered_parts_commit,
	.parts_discard = metered_parts_discard,
	.parts_list = metered_parts_list,
	.remove = metered_remove,
	.list = metered_list,
	.presign = metered_presign,
	.check = metered_check,
	.free = metered_free,
};

struct object_store *metered_object_store_new(struct object_store *inner)
{
	struct metered_object_store *store = xmalloc(sizeof(*store));

	*store = (struct metered_object_store){.ops = metered_ops, .inner = inner};
	store->ops.name = inner->ops->name;
	store->ops.part_min_size = inner->ops->part_min_size;
	store->base.ops = &store->ops;
	return &store->base;
}
