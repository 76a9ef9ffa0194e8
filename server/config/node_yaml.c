/*
 * From YAML's events to a tree. libyaml does the lexing; what it lets through
 * and a configuration should not have is refused here.
 */
#include "server/config/node.h"

#include "server/base/memory.h"

#include <string.h>
#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	const char *text;
	size_t length;
	struct problems *problems;
};

static struct mark mark_of(yaml_mark_t place)
{
	return (struct mark){.line = (unsigned)place.line + 1,
			     .column = (unsigned)place.column + 1};
}

static struct mark mark_at_offset(const struct reader *reader, size_t offset)
{
	struct mark mark = {.line = 1, .column = 1};

	for (size_t i = 0; i < offset && i < reader->length; i++) {
		mark.column++;
		if (reader->text[i] == '\n')
			mark = (struct mark){.line = mark.line + 1, .column = 1};
	}
	return mark;
}

/* The byte at a mark; columns count characters, but only tabs are asked for. */
static bool is_tab_at(const struct reader *reader, struct mark mark)
{
	const char *line = reader->text;
	const char *end = reader->text + reader->length;

	for (unsigned i = 1; line && i < mark.line; i++) {
		line = memchr(line, '\n', (size_t)(end - line));
		line = line ? line + 1 : NULL;
	}
	return line && (size_t)(end - line) >= mark.column && line[mark.column - 1] == '\t';
}

static void add_syntax_problem(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const char *what = parser->problem ? parser->problem : "not YAML";
	struct mark mark = mark_of(parser->problem_mark);

	if (parser->error == YAML_READER_ERROR)
		problems_add(reader->problems, mark_at_offset(reader, parser->problem_offset),
			     "not YAML: %s (a file is UTF-8 text)", what);
	else if (is_tab_at(reader, mark))
		problems_add(reader->problems, mark, "a tab; YAML indents with spaces");
	else if (parser->context)
		problems_add(reader->problems, mark, "not YAML: %s %s (line %zu)", what,
			     parser->context, parser->context_mark.line + 1);
	else
		problems_add(reader->problems, mark, "not YAML: %s", what);
}

/* False after a syntax error, which is reported. */
static bool next_event(struct reader *reader, yaml_event_t *ret)
{
	if (yaml_parser_parse(&reader->parser, ret))
		return true;
	add_syntax_problem(reader);
	return false;
}

/* What YAML can and a configuration must not; NULL when there is none of it. */
static const char *forbidden(const yaml_event_t *event)
{
	static const char *const anchor =
		"anchors and aliases are not supported; write the value out";
	const yaml_char_t *tag = NULL;
	const yaml_char_t *name = NULL;

	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return anchor;
	case YAML_SCALAR_EVENT:
		name = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
		if (memchr(event->data.scalar.value, '\0', event->data.scalar.length))
			return "a NUL byte";
		break;
	case YAML_MAPPING_START_EVENT:
		name = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		name = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
		break;
	default:
		break;
	}
	if (name)
		return anchor;
	return tag ? "tags (\"!...\") are not supported; write the value alone" : NULL;
}

static struct node *node_of_event(const yaml_event_t *event)
{
	struct node *node = xcalloc(1, sizeof(*node));

	node->mark = mark_of(event->start_mark);
	if (event->type == YAML_SCALAR_EVENT) {
		node->text =
			xstrndup((const char *)event->data.scalar.value, event->data.scalar.length);
		node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	} else {
		node->kind = event->type == YAML_MAPPING_START_EVENT ? NODE_MAP : NODE_LIST;
	}
	return node;
}

static struct node *read_node(struct reader *reader, const yaml_event_t *event, unsigned depth);

/* Takes the key from its event; false when it is none. */
static bool read_key(struct reader *reader, const struct node *map, const yaml_event_t *event,
		     char **ret_key)
{
	struct mark mark = mark_of(event->start_mark);
	const char *key = (const char *)event->data.scalar.value;
	const char *problem = forbidden(event);
	const struct node *earlier;

	if (!problem && event->type != YAML_SCALAR_EVENT)
		problem = "a key is a word, not a map or a list";
	else if (!problem && strcmp(key, "<<") == 0)
		problem = "merge keys (\"<<\") are not supported; write the keys out";
	if (problem) {
		problems_add(reader->problems, mark, "%s", problem);
		return false;
	}
	earlier = node_get(map, key);
	if (earlier)
		problems_add(reader->problems, mark, "%s: stands here twice (first in line %u)",
			     key, earlier->key_mark.line);
	*ret_key = xstrdup(key);
	return true;
}

/* One item of a list, or key and value of a map; *ret_end at the closing event. */
static bool read_item(struct reader *reader, struct node *parent, unsigned depth, bool *ret_end)
{
	struct mark key_mark = {0};
	yaml_event_t event;
	struct node *item = NULL;
	char *key = NULL;

	if (!next_event(reader, &event))
		return false;
	*ret_end = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
	if (*ret_end)
		goto done;
	if (parent->kind == NODE_MAP) {
		key_mark = mark_of(event.start_mark);
		if (!read_key(reader, parent, &event, &key))
			goto done;
		yaml_event_delete(&event);
		if (!next_event(reader, &event)) {
			free(key);
			return false;
		}
	}
	item = read_node(reader, &event, depth);
	if (item) {
		item->key = key;
		item->key_mark = key_mark;
		key = NULL;
		node_append(parent, item);
	}
done:
	free(key);
	yaml_event_delete(&event);
	return item || *ret_end;
}

static struct node *read_node(struct reader *reader, const yaml_event_t *event, unsigned depth)
{
	const char *problem = forbidden(event);
	struct node *node;
	bool end;

	if (!problem && depth > NODE_MAX_DEPTH)
		problem = "nested too deeply";
	if (problem) {
		problems_add(reader->problems, mark_of(event->start_mark), "%s", problem);
		return NULL;
	}
	node = node_of_event(event);
	end = node->kind == NODE_SCALAR;
	while (!end) {
		if (node->count >= NODE_MAX_ITEMS) {
			problems_add(reader->problems, node->mark, "more than %d items",
				     NODE_MAX_ITEMS);
			break;
		}
		if (!read_item(reader, node, depth + 1, &end))
			break;
	}
	if (end)
		return node;
	node_free(node);
	return NULL;
}

/* Whatever stands before the first document's content is passed over. */
static struct node *read_document(struct reader *reader)
{
	struct node *root = NULL;
	yaml_event_t event;
	bool going_on = true;

	while (going_on && next_event(reader, &event)) {
		switch (event.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_START_EVENT:
			break;
		case YAML_STREAM_END_EVENT:
			root = xcalloc(1, sizeof(*root));
			*root = (struct node){.kind = NODE_MAP, .mark = {.line = 1, .column = 1}};
			going_on = false;
			break;
		default:
			root = read_node(reader, &event, 1);
			going_on = false;
		}
		yaml_event_delete(&event);
	}
	return root;
}

/* After the document: nothing. */
static bool read_end(struct reader *reader)
{
	yaml_event_t event;
	bool end = false;
	bool good = true;

	while (good && !end) {
		good = next_event(reader, &event);
		if (!good)
			break;
		end = event.type == YAML_STREAM_END_EVENT || event.type == YAML_NO_EVENT;
		good = end || event.type == YAML_DOCUMENT_END_EVENT;
		if (!good)
			problems_add(reader->problems, mark_of(event.start_mark),
				     "a second document; a configuration is one");
		yaml_event_delete(&event);
	}
	return good;
}

struct node *node_parse(const char *text, size_t length, struct problems *problems)
{
	struct reader reader = {.text = text, .length = length, .problems = problems};
	struct node *root;

	if (!yaml_parser_initialize(&reader.parser))
		abort(); /* out of memory, which is all that can fail here */
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, length);
	root = read_document(&reader);
	if (root && !read_end(&reader)) {
		node_free(root);
		root = NULL;
	}
	yaml_parser_delete(&reader.parser);
	if (root && node_is_null(root))
		node_become_map(root);
	if (root && root->kind != NODE_MAP) {
		problems_add(problems, root->mark,
			     "not a map of keys; a configuration begins with `version: 1`");
		node_free(root);
		root = NULL;
	}
	return root;
}
