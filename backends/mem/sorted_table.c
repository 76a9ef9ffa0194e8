#include "backends/mem/sorted_table.h"

#include "server/base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void sorted_table_release(struct sorted_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		free(table->rows[i].key);
		table->free_value(table->rows[i].value);
	}
	free(table->rows);
	table->rows = NULL;
	table->count = table->capacity = 0;
}

size_t sorted_table_seek(const struct sorted_table *table, const char *key)
{
	size_t low = 0;
	size_t high = table->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(table->rows[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool stands_at(const struct sorted_table *table, size_t position, const char *key)
{
	return position < table->count && strcmp(table->rows[position].key, key) == 0;
}

void *sorted_table_get(const struct sorted_table *table, const char *key)
{
	size_t position = sorted_table_seek(table, key);

	return stands_at(table, position, key) ? table->rows[position].value : NULL;
}

void sorted_table_put(struct sorted_table *table, const char *key, void *value)
{
	size_t position = sorted_table_seek(table, key);

	if (stands_at(table, position, key)) {
		table->free_value(table->rows[position].value);
		table->rows[position].value = value;
		return;
	}
	if (table->count == table->capacity) {
		table->capacity = table->capacity ? 2 * table->capacity : 16;
		table->rows = xrealloc(table->rows, table->capacity * sizeof(*table->rows));
	}
	memmove(&table->rows[position + 1], &table->rows[position],
		(table->count - position) * sizeof(*table->rows));
	table->rows[position] = (struct sorted_row){.key = xstrdup(key), .value = value};
	table->count++;
}

void sorted_table_remove(struct sorted_table *table, const char *key)
{
	size_t position = sorted_table_seek(table, key);

	if (stands_at(table, position, key))
		sorted_table_remove_at(table, position);
}

void sorted_table_remove_at(struct sorted_table *table, size_t position)
{
	free(table->rows[position].key);
	table->free_value(table->rows[position].value);
	table->count--;
	memmove(&table->rows[position], &table->rows[position + 1],
		(table->count - position) * sizeof(*table->rows));
}
