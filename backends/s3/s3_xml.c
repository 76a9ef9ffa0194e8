#include "backends/s3/s3_xml.h"

#include "server/base/buf.h"
#include "server/base/str.h"

#include <expat.h>
#include <limits.h>
#include <string.h>

#define PATH_SIZE 256

struct parse {
	XML_Parser parser;
	s3_xml_fn fn;
	void *context;
	unsigned depth;
	bool failed;
	bool has_children; /* the element that just ended, or begins, has some */
	char path[PATH_SIZE];
	struct buf text;
};

static void stop(struct parse *parse)
{
	parse->failed = true;
	XML_StopParser(parse->parser, XML_FALSE);
}

static void on_start(void *context, const char *name, const char **attributes)
{
	struct parse *parse = context;
	const char *colon = strrchr(name, ':');
	size_t length = strlen(parse->path);
	const char *local = colon ? colon + 1 : name;

	(void)attributes;
	if (parse->failed)
		return;
	if (++parse->depth > S3_XML_DEPTH || length + strlen(local) + 2 > PATH_SIZE) {
		stop(parse);
		return;
	}
	if (length)
		parse->path[length++] = '/';
	str_copy(parse->path + length, PATH_SIZE - length, local);
	parse->has_children = false;
	buf_reset(&parse->text);
}

static void on_text(void *context, const char *bytes, int length)
{
	struct parse *parse = context;

	buf_append(&parse->text, bytes, (size_t)length);
	if (parse->text.overflow)
		stop(parse);
}

static void on_end(void *context, const char *name)
{
	struct parse *parse = context;
	char *slash = strrchr(parse->path, '/');

	(void)name;
	if (parse->failed)
		return;
	if (!parse->fn(parse->context, parse->path,
		       parse->has_children ? NULL : buf_string(&parse->text))) {
		stop(parse);
		return;
	}
	parse->depth--;
	*(slash ? slash : parse->path) = '\0';
	parse->has_children = true;
	buf_reset(&parse->text);
}

static void on_doctype(void *context, const char *name, const char *system, const char *public_id,
		       int has_subset)
{
	(void)name;
	(void)system;
	(void)public_id;
	(void)has_subset;
	stop(context);
}

bool s3_xml_parse(const char *text, size_t length, s3_xml_fn fn, void *context)
{
	struct parse parse = {.fn = fn, .context = context, .text = BUF_INIT(S3_XML_TEXT_MAX)};
	bool whole;

	if (length > INT_MAX)
		return false;
	parse.parser = XML_ParserCreate(NULL);
	if (!parse.parser)
		return false;
	XML_SetUserData(parse.parser, &parse);
	XML_SetElementHandler(parse.parser, on_start, on_end);
	XML_SetCharacterDataHandler(parse.parser, on_text);
	XML_SetStartDoctypeDeclHandler(parse.parser, on_doctype);
	whole = XML_Parse(parse.parser, text, (int)length, XML_TRUE) == XML_STATUS_OK;
	XML_ParserFree(parse.parser);
	buf_release(&parse.text);
	return whole && !parse.failed;
}

static bool take_error(void *context, const char *path, const char *text)
{
	struct s3_error_body *body = context;

	if (!text)
		return strcmp(path, "Error") == 0;
	if (strcmp(path, "Error/Code") == 0)
		str_copy(body->code, sizeof(body->code), text);
	else if (strcmp(path, "Error/Message") == 0)
		str_copy(body->message, sizeof(body->message), text);
	else if (strcmp(path, "Error/Region") == 0)
		str_copy(body->region, sizeof(body->region), text);
	return str_starts_with(path, "Error/");
}

bool s3_xml_error(const char *text, size_t length, struct s3_error_body *ret_body)
{
	struct s3_error_body body = {0};
	bool is_error = s3_xml_parse(text, length, take_error, &body) && body.code[0];

	*ret_body = is_error ? body : (struct s3_error_body){0};
	return is_error;
}
