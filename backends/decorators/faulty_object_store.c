#include "backends/decorators/faulty.h"
#include "backends/decorators/faulty_store.h"
#include "server/base/memory.h"

#include <stdlib.h>

struct faulty_object_store {
	struct object_store base;
	struct object_store_ops ops; /* a copy with the inner store's name */
	struct object_store *inner;
	struct fault_plan *plan;
};

struct faulty_reader {
	struct object_reader base;
	struct object_reader *inner;
	struct fault_plan *plan;
};

struct faulty_writer {
	struct object_writer base;
	struct object_writer *inner;
	struct fault_plan *plan;
};

struct faulty_part_writer {
	struct part_writer base;
	struct part_writer *inner;
	struct fault_plan *plan;
};

static struct faulty_object_store *faulty(struct object_store *store)
{
	return container_of(store, struct faulty_object_store, base);
}

static enum status faulty_stat(struct object_store *base, const char *key,
			       struct object_info *ret_info, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "stat", error);

	return status ? status : object_stat(faulty(base)->inner, key, ret_info, error);
}

static enum status reader_read(struct object_reader *base, uint64_t offset, void *target,
			       size_t length, deadline_ms deadline, size_t *ret_length,
			       struct error *error)
{
	struct faulty_reader *reader = container_of(base, struct faulty_reader, base);
	enum status status = fault(reader->plan, "read", error);

	return status ? status
		      : object_read(reader->inner, offset, target, length, deadline, ret_length,
				    error);
}

static int reader_file(struct object_reader *base)
{
	return object_reader_file(container_of(base, struct faulty_reader, base)->inner);
}

static void reader_close(struct object_reader *base)
{
	struct faulty_reader *reader = container_of(base, struct faulty_reader, base);

	object_close(reader->inner);
	free(reader);
}

static const struct object_reader_ops faulty_reader_ops = {
	.read = reader_read,
	.file = reader_file,
	.close = reader_close,
};

static struct object_reader *wrap_reader(struct fault_plan *plan, struct object_reader *inner)
{
	struct faulty_reader *reader = xmalloc(sizeof(*reader));

	*reader = (struct faulty_reader){
		.base = {.ops = &faulty_reader_ops, .info = inner->info},
		.inner = inner,
		.plan = plan,
	};
	return &reader->base;
}

static enum status faulty_open(struct object_store *base, const char *key,
			       struct object_reader **ret_reader, struct error *error)
{
	struct faulty_object_store *store = faulty(base);
	struct object_reader *inner = NULL;
	enum status status = fault(store->plan, "open", error);

	if (!status)
		status = object_open(store->inner, key, &inner, error);
	if (!status)
		*ret_reader = wrap_reader(store->plan, inner);
	return status;
}

static enum status faulty_put(struct object_store *base, const char *key, const void *bytes,
			      size_t length, enum put_mode mode, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "put", error);

	return status ? status : object_put(faulty(base)->inner, key, bytes, length, mode, error);
}

static enum status writer_write(struct object_writer *base, const void *bytes, size_t length,
				struct error *error)
{
	struct faulty_writer *writer = container_of(base, struct faulty_writer, base);
	enum status status = fault(writer->plan, "write", error);

	return status ? status : object_write(writer->inner, bytes, length, error);
}

static void writer_abort(struct object_writer *base)
{
	struct faulty_writer *writer = container_of(base, struct faulty_writer, base);

	object_abort(writer->inner);
	free(writer);
}

static enum status writer_commit(struct object_writer *base, struct error *error)
{
	struct faulty_writer *writer = container_of(base, struct faulty_writer, base);
	enum status status = fault(writer->plan, "commit", error);

	if (status) {
		writer_abort(base);
		return status;
	}
	status = object_commit(writer->inner, error);
	free(writer);
	return status;
}

static const struct object_writer_ops faulty_writer_ops = {
	.write = writer_write,
	.commit = writer_commit,
	.abort = writer_abort,
};

static enum status faulty_create(struct object_store *base, const char *key,
				 struct object_writer **ret_writer, struct error *error)
{
	struct faulty_object_store *store = faulty(base);
	struct object_writer *inner = NULL;
	struct faulty_writer *writer;
	enum status status = fault(store->plan, "create", error);

	if (!status)
		status = object_create(store->inner, key, &inner, error);
	if (status)
		return status;
	writer = xmalloc(sizeof(*writer));
	*writer = (struct faulty_writer){
		.base = {.ops = &faulty_writer_ops},
		.inner = inner,
		.plan = store->plan,
	};
	*ret_writer = &writer->base;
	return BW_OK;
}

static enum status faulty_adopt(struct object_store *base, const char *key, const char *path,
				struct error *error)
{
	enum status status = fault(faulty(base)->plan, "adopt", error);

	return status ? status : object_adopt(faulty(base)->inner, key, path, error);
}

/* ---- parts ---- */

static enum status part_write(struct part_writer *base, const void *bytes, size_t length,
			      struct error *error)
{
	struct faulty_part_writer *writer = container_of(base, struct faulty_part_writer, base);
	enum status status = fault(writer->plan, "part_write", error);

	return status ? status : object_part_write(writer->inner, bytes, length, error);
}

static void part_abort(struct part_writer *base)
{
	struct faulty_part_writer *writer = container_of(base, struct faulty_part_writer, base);

	object_part_abort(writer->inner);
	free(writer);
}

static enum status part_finish(struct part_writer *base, struct object_part *ret_part,
			       struct error *error)
{
	struct faulty_part_writer *writer = container_of(base, struct faulty_part_writer, base);
	enum status status = fault(writer->plan, "part_finish", error);

	if (status) {
		part_abort(base);
		return status;
	}
	status = object_part_finish(writer->inner, ret_part, error);
	free(writer);
	return status;
}

static const struct part_writer_ops faulty_part_writer_ops = {
	.write = part_write,
	.finish = part_finish,
	.abort = part_abort,
};

static enum status faulty_part_create(struct object_store *base, const char *upload,
				      unsigned part_number, struct part_writer **ret_writer,
				      struct error *error)
{
	struct faulty_object_store *store = faulty(base);
	struct part_writer *inner = NULL;
	struct faulty_part_writer *writer;
	enum status status = fault(store->plan, "part_create", error);

	if (!status)
		status = object_part_create(store->inner, upload, part_number, &inner, error);
	if (status)
		return status;
	writer = xmalloc(sizeof(*writer));
	*writer = (struct faulty_part_writer){
		.base = {.ops = &faulty_part_writer_ops},
		.inner = inner,
		.plan = store->plan,
	};
	*ret_writer = &writer->base;
	return BW_OK;
}

static enum status faulty_part_open(struct object_store *base, const char *upload,
				    const struct object_part *part,
				    struct object_reader **ret_reader, struct error *error)
{
	struct faulty_object_store *store = faulty(base);
	struct object_reader *inner = NULL;
	enum status status = fault(store->plan, "part_open", error);

	if (!status)
		status = object_part_open(store->inner, upload, part, &inner, error);
	if (!status)
		*ret_reader = wrap_reader(store->plan, inner);
	return status;
}

static enum status faulty_part_remove(struct object_store *base, const char *upload,
				      const struct object_part *part, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "part_remove", error);

	return status ? status : object_part_remove(faulty(base)->inner, upload, part, error);
}

static enum status faulty_parts_commit(struct object_store *base, const char *upload,
				       const struct object_part *parts, size_t count,
				       const char *key, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "parts_commit", error);

	return status ? status
		      : object_parts_commit(faulty(base)->inner, upload, parts, count, key, error);
}

static enum status faulty_parts_discard(struct object_store *base, const char *upload,
					struct error *error)
{
	enum status status = fault(faulty(base)->plan, "parts_discard", error);

	return status ? status : object_parts_discard(faulty(base)->inner, upload, error);
}

static enum status faulty_parts_list(struct object_store *base, part_list_fn fn, void *context,
				     struct error *error)
{
	enum status status = fault(faulty(base)->plan, "parts_list", error);

	return status ? status : object_parts_list(faulty(base)->inner, fn, context, error);
}

/* ---- the rest ---- */

static enum status faulty_remove(struct object_store *base, const char *key, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "remove", error);

	return status ? status : object_remove(faulty(base)->inner, key, error);
}

static enum status faulty_list(struct object_store *base, const char *prefix,
			       const char *start_after, object_list_fn fn, void *context,
			       struct error *error)
{
	enum status status = fault(faulty(base)->plan, "list", error);

	return status ? status
		      : object_list(faulty(base)->inner, prefix, start_after, fn, context, error);
}

static enum status faulty_presign(struct object_store *base, const char *key, unsigned seconds,
				  char **ret_url, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "presign", error);

	return status ? status : object_presign(faulty(base)->inner, key, seconds, ret_url, error);
}

static enum status faulty_check(struct object_store *base, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "check", error);

	return status ? status : object_check(faulty(base)->inner, error);
}

static void faulty_free(struct object_store *base)
{
	struct faulty_object_store *store = faulty(base);

	object_store_free(store->inner);
	free(store);
}

static const struct object_store_ops faulty_ops = {
	.stat = faulty_stat,
	.open = faulty_open,
	.put = faulty_put,
	.create = faulty_create,
	.adopt = faulty_adopt,
	.part_create = faulty_part_create,
	.part_open = faulty_part_open,
	.part_remove = faulty_part_remove,
	.parts_commit = faulty_parts_commit,
	.parts_discard = faulty_parts_discard,
	.parts_list = faulty_parts_list,
	.remove = faulty_remove,
	.list = faulty_list,
	.presign = faulty_presign,
	.check = faulty_check,
	.free = faulty_free,
};

struct object_store *faulty_object_store_new(struct object_store *inner, struct fault_plan *plan)
{
	struct faulty_object_store *store = xmalloc(sizeof(*store));

	*store = (struct faulty_object_store){.ops = faulty_ops, .inner = inner, .plan = plan};
	store->ops.name = inner->ops->name;
	store->ops.part_min_size = inner->ops->part_min_size;
	store->base.ops = &store->ops;
	return &store->base;
}
