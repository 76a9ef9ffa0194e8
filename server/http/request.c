#include "server/http/request.h"

#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <string.h>

#define HOST_VALUE_MAX (HOST_MAX + 6) /* ":65535" */

static const struct {
	const char *name;
	enum method method;
} methods[] = {
	{"GET", METHOD_GET},         {"HEAD", METHOD_HEAD},   {"POST", METHOD_POST},
	{"PUT", METHOD_PUT},         {"PATCH", METHOD_PATCH}, {"DELETE", METHOD_DELETE},
	{"OPTIONS", METHOD_OPTIONS},
};

static enum method method_parse(const char *text)
{
	for (size_t i = 0; i < array_size(methods); i++) {
		if (strcmp(methods[i].name, text) == 0)
			return methods[i].method;
	}
	return METHOD_OTHER;
}

const char *method_name(enum method method)
{
	for (size_t i = 0; i < array_size(methods); i++) {
		if (methods[i].method == method)
			return methods[i].name;
	}
	return "other";
}

void request_format_methods(unsigned bits, struct buf *target)
{
	for (size_t i = 0; i < array_size(methods); i++) {
		if (!(bits & methods[i].method))
			continue;
		if (target->length > 0)
			buf_append_string(target, ", ");
		buf_append_string(target, methods[i].name);
	}
}

/* RFC 9110, 5.6.2 */
static bool is_token(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++) {
		if (!ascii_is_alnum(*text) && !strchr("!#$%&'*+-.^_`|~", *text))
			return false;
	}
	return true;
}

static bool is_field_value(const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static size_t count_fields(const struct request_head *head, const char *name,
			   const char **ret_first)
{
	size_t count = 0;

	for (size_t i = 0; i < head->field_count; i++) {
		if (!str_equals_ignore_case(head->fields[i].name, name))
			continue;
		if (count++ == 0)
			*ret_first = head->fields[i].value;
	}
	return count;
}

const char *request_header(const struct request *request, const char *name)
{
	const char *value = NULL;

	count_fields(request->head, name, &value);
	return value;
}

const char *request_parameter(const struct request *request, const char *name)
{
	for (size_t i = 0; i < request->parameter_count; i++) {
		if (strcmp(request->parameters[i].name, name) == 0)
			return request->parameters[i].value;
	}
	return NULL;
}

size_t request_parameters(const struct request *request, const char *name, const char **values,
			  size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < request->parameter_count; i++) {
		if (strcmp(request->parameters[i].name, name) != 0)
			continue;
		if (count < max)
			values[count] = request->parameters[i].value;
		count++;
	}
	return count;
}

static bool is_request_id(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if (!ascii_is_alnum(text[i]) && !strchr("._-", text[i]))
			return false;
	}
	return length > 0 && length <= REQUEST_ID_MAX;
}

/* 128 bits that do not repeat and that nobody guesses by chance. They are no
 * secret, so asking the kernel once per thread is enough: half of them tell the
 * thread, the other half are a counter, stirred (splitmix64). */
static void make_id(unsigned char bytes[16])
{
	static _Thread_local struct {
		uint64_t thread;
		uint64_t counter;
	} source;
	uint64_t mixed;

	if (source.thread == 0)
		random_bytes(&source, sizeof(source));
	mixed = source.counter += 0x9e3779b97f4a7c15;
	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
	mixed ^= mixed >> 31;
	memcpy(bytes, &mixed, 8);
	memcpy(bytes + 8, &source.thread, 8);
}

static void set_id(struct request *request)
{
	const char *given = request_header(request, "X-Request-Id");
	unsigned char bytes[16];

	if (given && is_request_id(given)) {
		str_copy(request->id, sizeof(request->id), given);
		return;
	}
	make_id(bytes);
	str_hex(bytes, sizeof(bytes), request->id);
}

static bool refuse(struct api_failure *failure, const char *reason)
{
	*failure = (struct api_failure){.http_status = 400, .code = API_UNSUPPORTED};
	str_copy(failure->message, sizeof(failure->message), "bad request: ");
	str_copy(failure->message + strlen(failure->message),
		 sizeof(failure->message) - strlen(failure->message), reason);
	return false;
}

static bool check_fields(const struct request_head *head, struct api_failure *failure)
{
	for (size_t i = 0; i < head->field_count; i++) {
		if (!is_token(head->fields[i].name))
			return refuse(failure, "the name of a header field is not a token");
		if (!is_field_value(head->fields[i].value))
			return refuse(failure, "a header field has a control byte");
	}
	return true;
}

static bool is_host_value(const char *host)
{
	size_t length = strlen(host);

	for (size_t i = 0; i < length; i++) {
		if (!ascii_is_alnum(host[i]) && !strchr("-._:[]", host[i]))
			return false;
	}
	return length > 0 && length <= HOST_VALUE_MAX;
}

/* RFC 9112, 3.2: one Host in HTTP/1.1; an absolute-form's authority beats it. */
static bool take_host(struct request *request, const char *authority, struct api_failure *failure)
{
	const char *host = NULL;
	size_t count = count_fields(request->head, "Host", &host);

	if (count > 1)
		return refuse(failure, "there is more than one Host");
	if (count == 0 && strcmp(request->head->version, "1.1") == 0)
		return refuse(failure, "there is no Host");
	request->host = authority ? authority : host;
	if (request->host && !is_host_value(request->host))
		return refuse(failure, "the Host is not a host name");
	return true;
}

/* RFC 9112, 6: where the body ends must be beyond doubt. */
static bool take_body(struct request *request, struct api_failure *failure)
{
	const struct request_head *head = request->head;
	const char *length_text = NULL;
	const char *coding = NULL;
	size_t lengths = count_fields(head, "Content-Length", &length_text);
	size_t codings = count_fields(head, "Transfer-Encoding", &coding);
	uint64_t length = 0;

	if (lengths && codings)
		return refuse(failure, "there are Content-Length and Transfer-Encoding");
	if (lengths > 1 || codings > 1)
		return refuse(failure, "the length of the body is given more than once");
	if (lengths &&
	    (!str_parse_u64(length_text, strlen(length_text), &length) || length > INT64_MAX))
		return refuse(failure, "the Content-Length is not a number");
	if (codings && !str_equals_ignore_case(coding, "chunked"))
		return refuse(failure, "the only Transfer-Encoding understood is chunked");
	if (codings && strcmp(head->version, "1.1") != 0)
		return refuse(failure, "Transfer-Encoding needs HTTP/1.1");
	request->has_body = codings || length > 0;
	request->has_length = !codings;
	request->length = length;
	return true;
}

/* RFC 9110, 10.1.1 */
static bool take_expectation(struct request *request, struct api_failure *failure)
{
	const char *expectation = NULL;
	size_t count = count_fields(request->head, "Expect", &expectation);

	if (count == 0 || strcmp(request->head->version, "1.1") != 0)
		return true;
	if (count > 1 || !str_equals_ignore_case(expectation, "100-continue")) {
		refuse(failure, "the only Expect understood is 100-continue");
		failure->http_status = 417;
		return false;
	}
	request->expects_continue = request->has_body;
	return true;
}

static bool take_target(struct request *request, struct arena *arena, const char **ret_authority,
			struct api_failure *failure)
{
	const char *reason;

	if (request_parse_target(request->head->target, arena, request, ret_authority, &reason))
		return true;
	refuse(failure, reason);
	if (request->parameter_count == REQUEST_MAX_PARAMETERS)
		failure->http_status = 414;
	return false;
}

bool request_parse(const struct request_head *head, struct arena *arena, struct request *ret,
		   struct api_failure *failure)
{
	const char *authority;

	*ret = (struct request){.head = head, .method = method_parse(head->method), .path = "/"};
	set_id(ret);
	if (!head->exact)
		return refuse(failure, "its head is not formed as RFC 9112 asks for");
	if (!check_fields(head, failure) || !take_body(ret, failure))
		return false;
	return take_target(ret, arena, &authority, failure) && take_host(ret, authority, failure) &&
	       take_expectation(ret, failure);
}

void request_init_malformed(struct request *request, const struct request_head *empty_head)
{
	*request = (struct request){
		.head = empty_head,
		.method = METHOD_OTHER,
		.path = "/",
	};
	set_id(request);
}
