#include "server/config/problems.h"

#include "server/base/buf.h"
#include "server/base/memory.h"

#include <stdarg.h>
#include <stdio.h>

#define PROBLEMS_MAX 100
#define TEXT_SIZE 1024

struct problem {
	unsigned line;
	unsigned column;
	char *variable;
	size_t order; /* of being found */
	char *text;
};

void problems_init(struct problems *problems, const char *source)
{
	*problems = (struct problems){.source = source};
}

void problems_release(struct problems *problems)
{
	for (size_t i = 0; i < problems->count; i++) {
		free(problems->list[i].variable);
		free(problems->list[i].text);
	}
	free(problems->list);
	*problems = (struct problems){0};
}

/* Keys and values are anybody's bytes, and a problem is one line. */
static void blank_control_bytes(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

void problems_add(struct problems *problems, struct mark mark, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list arguments;

	if (problems->count == PROBLEMS_MAX) {
		problems->more = true;
		return;
	}
	va_start(arguments, format);
	if (vsnprintf(text, sizeof(text), format, arguments) < 0)
		text[0] = '\0';
	va_end(arguments);
	blank_control_bytes(text);

	problems->list = xrealloc(problems->list, (problems->count + 1) * sizeof(*problems->list));
	problems->list[problems->count] = (struct problem){
		.line = mark.line,
		.column = mark.column,
		.variable = mark.variable ? xstrdup(mark.variable) : NULL,
		.order = problems->count,
		.text = xstrdup(text),
	};
	problems->count++;
}

/* The file's problems by place, then those of the environment. */
static int compare_problems(const void *left, const void *right)
{
	const struct problem *a = left;
	const struct problem *b = right;
	if (!a->variable != !b->variable)
		return a->variable ? 1 : -1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

static void write_place(const char *source, const struct problem *problem, struct buf *buf)
{
	if (problem->variable)
		buf_append_string(buf, problem->variable);
	else if (problem->line == 0)
		buf_append_string(buf, source);
	else
		buf_printf(buf, "%s:%u:%u", source, problem->line, problem->column);
}

void problems_write(struct problems *problems, struct buf *buf)
{
	if (problems->count > 1)
		qsort(problems->list, problems->count, sizeof(*problems->list), compare_problems);
	for (size_t i = 0; i < problems->count; i++) {
		write_place(problems->source, &problems->list[i], buf);
		buf_printf(buf, ": %s\n", problems->list[i].text);
	}
	if (problems->more)
		buf_printf(buf, "%s: and more; these are the first %d\n", problems->source,
			   PROBLEMS_MAX);
}
