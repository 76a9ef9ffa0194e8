/*
 * Values under string keys, kept in byte order: all that the stores in memory
 * are made of. Not thread-safe; its store's lock covers it.
 */
#ifndef BACKENDS_MEM_SORTED_TABLE_H
#define BACKENDS_MEM_SORTED_TABLE_H

#include <stddef.h>

struct sorted_row {
	char *key;
	void *value;
};

/* Zero-initialise. Rows lie in `rows[0 .. count)`, in the order of strcmp. */
struct sorted_table {
	struct sorted_row *rows;
	size_t count;
	size_t capacity;
	void (*free_value)(void *value);
};

void sorted_table_release(struct sorted_table *table);

/* Where the first key that is at least `key` stands; count when there is none. */
size_t sorted_table_seek(const struct sorted_table *table, const char *key);

/* NULL when there is no such key. */
void *sorted_table_get(const struct sorted_table *table, const char *key);

/* Takes the value, frees one that stood there. */
void sorted_table_put(struct sorted_table *table, const char *key, void *value);

void sorted_table_remove(struct sorted_table *table, const char *key);
void sorted_table_remove_at(struct sorted_table *table, size_t position);

#endif
