#include "backends/mem/mem_object_store.h"

#include "backends/mem/mem_objects.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

struct mem_reader {
	struct object_reader base;
	struct content *content;
};

struct mem_writer {
	struct object_writer base;
	struct mem_object_store *store;
	char *key;
	char *bytes;
	size_t length;
	size_t capacity;
};

struct content *mem_content_ref(struct content *content)
{
	if (content)
		atomic_fetch_add_explicit(&content->references, 1, memory_order_relaxed);
	return content;
}

void mem_content_unref(void *value)
{
	struct content *content = value;

	if (atomic_fetch_sub_explicit(&content->references, 1, memory_order_acq_rel) > 1)
		return;
	free(content->bytes);
	free(content);
}

struct content *mem_content_new(char *bytes, size_t length)
{
	struct content *content = xmalloc(sizeof(*content));

	*content = (struct content){
		.references = 1,
		.info = {.size = length, .stored_at = clock_wall_ms()},
		.bytes = bytes,
	};
	return content;
}

/* With a reference for the caller, or NULL. */
static struct content *find(struct mem_object_store *store, const char *key)
{
	struct content *content;

	pthread_mutex_lock(&store->lock);
	content = mem_content_ref(sorted_table_get(&store->objects, key));
	pthread_mutex_unlock(&store->lock);
	return content;
}

bool mem_place(struct mem_object_store *store, const char *key, struct content *content,
	       enum put_mode mode)
{
	bool taken;

	pthread_mutex_lock(&store->lock);
	taken = mode != PUT_IF_ABSENT || !sorted_table_get(&store->objects, key);
	if (taken)
		sorted_table_put(&store->objects, key, content);
	pthread_mutex_unlock(&store->lock);
	if (!taken)
		mem_content_unref(content);
	return taken;
}

static enum status absent(const char *key, struct error *error)
{
	return error_set(error, BW_ABSENT, "object %s is not there", key);
}

static enum status mem_stat(struct object_store *base, const char *key,
			    struct object_info *ret_info, struct error *error)
{
	struct content *content = find(mem_store(base), key);

	if (!content)
		return absent(key, error);
	*ret_info = content->info;
	mem_content_unref(content);
	return BW_OK;
}

static enum status reader_read(struct object_reader *base, uint64_t offset, void *target,
			       size_t length, deadline_ms deadline, size_t *ret_length,
			       struct error *error)
{
	struct mem_reader *reader = container_of(base, struct mem_reader, base);
	uint64_t size = reader->content->info.size;
	uint64_t left = offset < size ? size - offset : 0;

	(void)deadline;
	(void)error;
	if (length > left)
		length = (size_t)left;
	if (length)
		memcpy(target, reader->content->bytes + offset, length);
	*ret_length = length;
	return BW_OK;
}

static void reader_close(struct object_reader *base)
{
	struct mem_reader *reader = container_of(base, struct mem_reader, base);

	mem_content_unref(reader->content);
	free(reader);
}

static const struct object_reader_ops mem_reader_ops = {
	.read = reader_read,
	.close = reader_close,
};

struct object_reader *mem_reader_new(struct content *content)
{
	struct mem_reader *reader = xmalloc(sizeof(*reader));

	*reader = (struct mem_reader){
		.base = {.ops = &mem_reader_ops, .info = content->info},
		.content = content,
	};
	return &reader->base;
}

static enum status mem_open(struct object_store *base, const char *key,
			    struct object_reader **ret_reader, struct error *error)
{
	struct content *content = find(mem_store(base), key);

	if (!content)
		return absent(key, error);
	*ret_reader = mem_reader_new(content);
	return BW_OK;
}

static enum status mem_put(struct object_store *base, const char *key, const void *bytes,
			   size_t length, enum put_mode mode, struct error *error)
{
	char *copy = xmalloc(length + 1);

	if (length)
		memcpy(copy, bytes, length);
	if (!mem_place(mem_store(base), key, mem_content_new(copy, length), mode))
		return error_set(error, BW_CONFLICT, "object %s exists already", key);
	return BW_OK;
}

static void writer_free(struct mem_writer *writer)
{
	free(writer->key);
	free(writer->bytes);
	free(writer);
}

static enum status writer_write(struct object_writer *base, const void *bytes, size_t length,
				struct error *error)
{
	struct mem_writer *writer = container_of(base, struct mem_writer, base);

	(void)error;
	if (length == 0)
		return BW_OK;
	if (writer->capacity - writer->length < length) {
		writer->capacity = 2 * (writer->length + length);
		writer->bytes = xrealloc(writer->bytes, writer->capacity);
	}
	memcpy(writer->bytes + writer->length, bytes, length);
	writer->length += length;
	return BW_OK;
}

static enum status writer_commit(struct object_writer *base, struct error *error)
{
	struct mem_writer *writer = container_of(base, struct mem_writer, base);

	(void)error;
	mem_place(writer->store, writer->key, mem_content_new(writer->bytes, writer->length),
		  PUT_REPLACE);
	writer->bytes = NULL;
	writer_free(writer);
	return BW_OK;
}

static void writer_abort(struct object_writer *base)
{
	writer_free(container_of(base, struct mem_writer, base));
}

static const struct object_writer_ops mem_writer_ops = {
	.write = writer_write,
	.commit = writer_commit,
	.abort = writer_abort,
};

static enum status mem_create(struct object_store *base, const char *key,
			      struct object_writer **ret_writer, struct error *error)
{
	struct mem_writer *writer = xmalloc(sizeof(*writer));

	(void)error;
	*writer = (struct mem_writer){
		.base = {.ops = &mem_writer_ops},
		.store = mem_store(base),
		.key = xstrdup(key),
	};
	*ret_writer = &writer->base;
	return BW_OK;
}

static enum status mem_remove(struct object_store *base, const char *key, struct error *error)
{
	struct mem_object_store *store = mem_store(base);

	(void)error;
	pthread_mutex_lock(&store->lock);
	sorted_table_remove(&store->objects, key);
	pthread_mutex_unlock(&store->lock);
	return BW_OK;
}

/* A copy of the part asked for, so that no callback runs under the lock. */
static void snapshot(struct mem_object_store *store, const char *prefix, const char *start_after,
		     struct sorted_table *ret)
{
	const char *from = strcmp(prefix, start_after) > 0 ? prefix : start_after;

	pthread_mutex_lock(&store->lock);
	for (size_t i = sorted_table_seek(&store->objects, from); i < store->objects.count; i++) {
		const struct sorted_row *row = &store->objects.rows[i];

		if (!str_starts_with(row->key, prefix))
			break;
		if (strcmp(row->key, start_after) > 0)
			sorted_table_put(ret, row->key, mem_content_ref(row->value));
	}
	pthread_mutex_unlock(&store->lock);
}

static enum status mem_list(struct object_store *base, const char *prefix, const char *start_after,
			    object_list_fn fn, void *context, struct error *error)
{
	struct sorted_table found = {.free_value = mem_content_unref};

	(void)error;
	snapshot(mem_store(base), prefix, start_after, &found);
	for (size_t i = 0; i < found.count; i++) {
		const struct content *content = found.rows[i].value;

		if (!fn(context, found.rows[i].key, &content->info))
			break;
	}
	sorted_table_release(&found);
	return BW_OK;
}

static enum status mem_check(struct object_store *base, struct error *error)
{
	(void)base;
	(void)error;
	return BW_OK;
}

static void mem_free(struct object_store *base)
{
	struct mem_object_store *store = mem_store(base);

	sorted_table_release(&store->objects);
	sorted_table_release(&store->parts);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

/* No adopt: what is copied by the wrapper is tested here. */
static const struct object_store_ops mem_ops = {
	.name = "memory",
	.stat = mem_stat,
	.open = mem_open,
	.put = mem_put,
	.create = mem_create,
	.part_create = mem_part_create,
	.part_open = mem_part_open,
	.part_remove = mem_part_remove,
	.parts_commit = mem_parts_commit,
	.parts_discard = mem_parts_discard,
	.parts_list = mem_parts_list,
	.remove = mem_remove,
	.list = mem_list,
	.check = mem_check,
	.free = mem_free,
};

struct object_store *mem_object_store_new(void)
{
	struct mem_object_store *store = xcalloc(1, sizeof(*store));

	store->base.ops = &mem_ops;
	store->objects.free_value = mem_content_unref;
	store->parts.free_value = mem_content_unref;
	pthread_mutex_init(&store->lock, NULL);
	return &store->base;
}
