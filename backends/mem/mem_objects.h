/* What the files of the object store in memory share. */
#ifndef BACKENDS_MEM_MEM_OBJECTS_H
#define BACKENDS_MEM_MEM_OBJECTS_H

#include "backends/mem/sorted_table.h"
#include "backends/object_store.h"
#include "server/base/memory.h"

#include <pthread.h>
#include <stdatomic.h>

/* Immutable once it is in a table; readers outlive its removal. */
struct content {
	atomic_uint references;
	struct object_info info;
	char *bytes;
};

struct mem_object_store {
	struct object_store base;
	pthread_mutex_t lock; /* covers what follows; nothing is called under it */
	struct sorted_table objects; /* key to struct content */
	struct sorted_table parts; /* "<upload>/<name>" to struct content */
	unsigned long long next_part;
};

static inline struct mem_object_store *mem_store(struct object_store *store)
{
	return container_of(store, struct mem_object_store, base);
}

/* Takes `bytes`. */
struct content *mem_content_new(char *bytes, size_t length);
struct content *mem_content_ref(struct content *content); /* NULL stays NULL */
void mem_content_unref(void *content);

/* Takes the content. False when the mode forbids. */
bool mem_place(struct mem_object_store *store, const char *key, struct content *content,
	       enum put_mode mode);

/* Takes the reference. */
struct object_reader *mem_reader_new(struct content *content);

/* mem_parts.c: the operations of the table. */
enum status mem_part_create(struct object_store *base, const char *upload, unsigned part_number,
			    struct part_writer **ret_writer, struct error *error);
enum status mem_part_open(struct object_store *base, const char *upload,
			  const struct object_part *part, struct object_reader **ret_reader,
			  struct error *error);
enum status mem_part_remove(struct object_store *base, const char *upload,
			    const struct object_part *part, struct error *error);
enum status mem_parts_commit(struct object_store *base, const char *upload,
			     const struct object_part *parts, size_t count, const char *key,
			     struct error *error);
enum status mem_parts_discard(struct object_store *base, const char *upload, struct error *error);
enum status mem_parts_list(struct object_store *base, part_list_fn fn, void *context,
			   struct error *error);

#endif
