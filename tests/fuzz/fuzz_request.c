/*
 * A request's head: what is accepted has one meaning, and finds its route.
 *
 * The first line is method, target and version, the others are fields.
 */
#include "tests/fuzz/fuzz.h"

#include "server/http/request.h"
#include "server/http/router.h"

#include <string.h>

/* Cuts at the first `separator`; what comes behind it, "" when there is none. */
static char *cut(char *text, char separator)
{
	char *at = strchr(text, separator);

	if (!at)
		return text + strlen(text);
	*at = '\0';
	return at + 1;
}

static void fill_head(char *text, struct request_head *head)
{
	char *rest = cut(text, '\n');
	char *target = cut(text, ' ');

	head->method = text;
	head->target = target;
	head->version = strcmp(cut(target, ' '), "1.0") == 0 ? "1.0" : "1.1";
	head->exact = true;
	while (*rest && head->field_count < HEAD_MAX_FIELDS) {
		char *next = cut(rest, '\n');
		struct head_field *field = &head->fields[head->field_count++];

		field->name = rest;
		field->value = cut(rest, ':');
		rest = next;
	}
}

static void check_path(const char *path)
{
	CHECK(path[0] == '/');
	CHECK(!strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../"));
	for (; *path; path++)
		CHECK((unsigned char)*path >= 0x20 && *path != 0x7f);
}

/* Nothing but a tag may be given twice. */
static void check_parameter(const struct request *request, const struct query_parameter *parameter)
{
	const char *value;

	CHECK(parameter->name && parameter->value);
	CHECK(request_parameter(request, parameter->name));
	if (strcmp(parameter->name, "tag") != 0)
		CHECK(request_parameters(request, parameter->name, &value, 1) == 1 &&
		      value == parameter->value);
}

static void check_request(const struct request *request)
{
	check_path(request->path);
	CHECK(request->parameter_count <= REQUEST_MAX_PARAMETERS);
	for (size_t i = 0; i < request->parameter_count; i++)
		check_parameter(request, &request->parameters[i]);
	CHECK(!(request_header(request, "Content-Length") &&
		request_header(request, "Transfer-Encoding")));
	CHECK(request->has_body == !(request->has_length && request->length == 0));
	CHECK(!request->expects_continue || request->has_body);
	CHECK(request->host || strcmp(request->head->version, "1.0") == 0);
}

static void check_route(const struct request *request, struct arena *arena)
{
	struct route_match match;

	if (!router_match(routes, route_count, request->path, arena, &match))
		return;
	CHECK(strlen(match.name) + strlen(match.last) < strlen(request->path));
	CHECK(!strchr(match.last, '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct request_head head = {0};
	struct api_failure failure = {0};
	struct request request;
	struct arena arena;

	CHECK(text);
	arena_init(&arena, (size_t)16 * 1024);
	fill_head(text, &head);
	if (request_parse(&head, &arena, &request, &failure)) {
		check_request(&request);
		check_route(&request, &arena);
	} else {
		CHECK(failure.http_status == 400 || failure.http_status == 414 ||
		      failure.http_status == 417);
		CHECK(failure.message[0]);
	}
	CHECK(strlen(request.id) > 0 && strlen(request.id) <= REQUEST_ID_MAX);
	arena_release(&arena);
	free(text);
	return 0;
}
