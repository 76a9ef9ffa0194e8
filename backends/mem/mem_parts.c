#include "backends/mem/mem_objects.h"
#include "server/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_KEY_SIZE (UPLOAD_ID_MAX + 1 + PART_NAME_SIZE)

struct mem_part_writer {
	struct part_writer base;
	struct mem_object_store *store;
	char upload[UPLOAD_ID_MAX + 1];
	struct object_part part;
	char *bytes;
	size_t capacity;
};

static void part_key(const char *upload, const struct object_part *part, char target[PART_KEY_SIZE])
{
	snprintf(target, PART_KEY_SIZE, "%s/%s", upload, part->name);
}

static void writer_free(struct mem_part_writer *writer)
{
	free(writer->bytes);
	free(writer);
}

static enum status writer_write(struct part_writer *base, const void *bytes, size_t length,
				struct error *error)
{
	struct mem_part_writer *writer = container_of(base, struct mem_part_writer, base);

	(void)error;
	if (length == 0)
		return BW_OK;
	if (writer->capacity - writer->part.size < length) {
		writer->capacity = 2 * (writer->part.size + length);
		writer->bytes = xrealloc(writer->bytes, writer->capacity);
	}
	memcpy(writer->bytes + writer->part.size, bytes, length);
	writer->part.size += length;
	return BW_OK;
}

static enum status writer_finish(struct part_writer *base, struct object_part *ret_part,
				 struct error *error)
{
	struct mem_part_writer *writer = container_of(base, struct mem_part_writer, base);
	struct mem_object_store *store = writer->store;
	struct content *content = mem_content_new(writer->bytes, writer->part.size);
	char key[PART_KEY_SIZE];

	(void)error;
	writer->bytes = NULL;
	part_key(writer->upload, &writer->part, key);
	pthread_mutex_lock(&store->lock);
	sorted_table_put(&store->parts, key, content);
	pthread_mutex_unlock(&store->lock);
	*ret_part = writer->part;
	writer_free(writer);
	return BW_OK;
}

static void writer_abort(struct part_writer *base)
{
	writer_free(container_of(base, struct mem_part_writer, base));
}

static const struct part_writer_ops mem_part_writer_ops = {
	.write = writer_write,
	.finish = writer_finish,
	.abort = writer_abort,
};

enum status mem_part_create(struct object_store *base, const char *upload, unsigned part_number,
			    struct part_writer **ret_writer, struct error *error)
{
	struct mem_object_store *store = mem_store(base);
	struct mem_part_writer *writer = xcalloc(1, sizeof(*writer));
	unsigned long long unique;

	(void)error;
	pthread_mutex_lock(&store->lock);
	unique = store->next_part++;
	pthread_mutex_unlock(&store->lock);
	writer->base.ops = &mem_part_writer_ops;
	writer->store = store;
	str_copy(writer->upload, sizeof(writer->upload), upload);
	snprintf(writer->part.name, PART_NAME_SIZE, "%u-%llx", part_number, unique);
	*ret_writer = &writer->base;
	return BW_OK;
}

/* With a reference for the caller. Under the lock. */
static enum status find_part(struct mem_object_store *store, const char *upload,
			     const struct object_part *part, struct content **ret_content,
			     struct error *error)
{
	char key[PART_KEY_SIZE];
	struct content *content;

	part_key(upload, part, key);
	content = sorted_table_get(&store->parts, key);
	if (!content)
		return error_set(error, BW_ABSENT, "part %s is not there", key);
	if (content->info.size != part->size)
		return error_set(error, BW_CORRUPT, "part %s has %llu bytes instead of %llu", key,
				 (unsigned long long)content->info.size,
				 (unsigned long long)part->size);
	*ret_content = mem_content_ref(content);
	return BW_OK;
}

enum status mem_part_open(struct object_store *base, const char *upload,
			  const struct object_part *part, struct object_reader **ret_reader,
			  struct error *error)
{
	struct mem_object_store *store = mem_store(base);
	struct content *content = NULL;
	enum status status;

	pthread_mutex_lock(&store->lock);
	status = find_part(store, upload, part, &content, error);
	pthread_mutex_unlock(&store->lock);
	if (!status)
		*ret_reader = mem_reader_new(content);
	return status;
}

enum status mem_part_remove(struct object_store *base, const char *upload,
			    const struct object_part *part, struct error *error)
{
	struct mem_object_store *store = mem_store(base);
	char key[PART_KEY_SIZE];

	(void)error;
	part_key(upload, part, key);
	pthread_mutex_lock(&store->lock);
	sorted_table_remove(&store->parts, key);
	pthread_mutex_unlock(&store->lock);
	return BW_OK;
}

/* Under the lock: whoever commits or discards sees all parts or none. */
static void remove_all(struct mem_object_store *store, const char *upload)
{
	char prefix[UPLOAD_ID_MAX + 2];
	size_t at;

	snprintf(prefix, sizeof(prefix), "%s/", upload);
	at = sorted_table_seek(&store->parts, prefix);
	while (at < store->parts.count && str_starts_with(store->parts.rows[at].key, prefix))
		sorted_table_remove_at(&store->parts, at);
}

/* Under the lock. */
static enum status join(struct mem_object_store *store, const char *upload,
			const struct object_part *parts, size_t count, struct content **ret_whole,
			struct error *error)
{
	char *bytes = NULL;
	size_t length = 0;

	for (size_t i = 0; i < count; i++) {
		struct content *content = NULL;
		enum status status = find_part(store, upload, &parts[i], &content, error);

		if (status) {
			free(bytes);
			return status;
		}
		bytes = xrealloc(bytes, length + parts[i].size + 1);
		if (parts[i].size)
			memcpy(bytes + length, content->bytes, parts[i].size);
		length += parts[i].size;
		mem_content_unref(content);
	}
	*ret_whole = mem_content_new(bytes, length);
	return BW_OK;
}

enum status mem_parts_commit(struct object_store *base, const char *upload,
			     const struct object_part *parts, size_t count, const char *key,
			     struct error *error)
{
	struct mem_object_store *store = mem_store(base);
	struct content *whole = NULL;
	enum status status = BW_OK;

	pthread_mutex_lock(&store->lock);
	if (!sorted_table_get(&store->objects, key)) {
		status = join(store, upload, parts, count, &whole, error);
		if (!status)
			sorted_table_put(&store->objects, key, whole);
	}
	if (!status)
		remove_all(store, upload);
	pthread_mutex_unlock(&store->lock);
	return status;
}

enum status mem_parts_discard(struct object_store *base, const char *upload, struct error *error)
{
	struct mem_object_store *store = mem_store(base);

	(void)error;
	pthread_mutex_lock(&store->lock);
	remove_all(store, upload);
	pthread_mutex_unlock(&store->lock);
	return BW_OK;
}

/* Copies "upload/part" keys and times, so that no callback runs under the lock. */
static void snapshot(struct mem_object_store *store, struct sorted_table *ret)
{
	pthread_mutex_lock(&store->lock);
	for (size_t i = 0; i < store->parts.count; i++)
		sorted_table_put(ret, store->parts.rows[i].key,
				 mem_content_ref(store->parts.rows[i].value));
	pthread_mutex_unlock(&store->lock);
}

enum status mem_parts_list(struct object_store *base, part_list_fn fn, void *context,
			   struct error *error)
{
	struct sorted_table found = {.free_value = mem_content_unref};
	size_t next = 0;
	bool more = true;

	(void)error;
	snapshot(mem_store(base), &found);
	while (next < found.count && more) {
		char *upload = found.rows[next].key;
		size_t length = strcspn(upload, "/") + 1;
		int64_t newest = 0;

		for (; next < found.count && strncmp(found.rows[next].key, upload, length) == 0;
		     next++) {
			const struct content *content = found.rows[next].value;

			if (content->info.stored_at > newest)
				newest = content->info.stored_at;
		}
		upload[length - 1] = '\0';
		more = fn(context, upload, newest);
	}
	sorted_table_release(&found);
	return BW_OK;
}
