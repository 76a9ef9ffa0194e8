#include "server/config/string_list.h"

#include "server/base/memory.h"

#include <string.h>

void string_list_append(struct string_list *list, char *string)
{
	list->items = xrealloc(list->items, (list->count + 1) * sizeof(char *));
	list->items[list->count++] = string;
}

void string_list_release(struct string_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct string_list){0};
}

bool string_list_contains(const struct string_list *list, const char *string)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], string) == 0)
			return true;
	return false;
}
