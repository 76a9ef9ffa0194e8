#include "server/base/json.h"

#include "server/base/str.h"

#include <pthread.h>
#include <string.h>

#define JSON_MAX_NUMBER ((double)((UINT64_C(1) << 53) - 1))

/* cJSON takes more than RFC 8259 allows (control bytes as white space, "01",
 * a NUL that ends a string early) and recurses as deep as it is told. This
 * scan walks the tokens before it does, and leaves it only text on which every
 * parser agrees. Whether the tokens make a sentence is cJSON's to say. */
struct scan {
	const char *text;
	size_t length;
	size_t at;
	unsigned depth;
	unsigned values;
	const char *problem;
};

static bool refuse(struct scan *scan, const char *problem)
{
	scan->problem = problem;
	return false;
}

static char peek(const struct scan *scan)
{
	return scan->at < scan->length ? scan->text[scan->at] : '\0';
}

static bool scan_escape(struct scan *scan)
{
	char c = peek(scan);

	if (c == '\0' || !strchr("\"\\/bfnrtu", c))
		return refuse(scan, "unknown escape");
	scan->at++;
	if (c != 'u')
		return true;
	if (scan->length - scan->at >= 4 && memcmp(scan->text + scan->at, "0000", 4) == 0)
		return refuse(scan, "NUL in a string");
	return true;
}

static bool scan_string(struct scan *scan)
{
	scan->at++;
	while (scan->at < scan->length) {
		unsigned char c = (unsigned char)scan->text[scan->at];
		size_t step = str_utf8_length(scan->text + scan->at, scan->length - scan->at);

		if (step == 0)
			return refuse(scan, "not UTF-8");
		if (c < 0x20)
			return refuse(scan, "control byte in a string");
		scan->at += step;
		if (c == '"')
			return true;
		if (c == '\\' && !scan_escape(scan))
			return false;
	}
	return refuse(scan, "a string without an end");
}

static size_t skip_digits(struct scan *scan)
{
	size_t start = scan->at;

	while (ascii_is_digit(peek(scan)))
		scan->at++;
	return scan->at - start;
}

static bool scan_number(struct scan *scan)
{
	size_t digits;
	bool zero;

	if (peek(scan) == '-')
		scan->at++;
	zero = peek(scan) == '0';
	digits = skip_digits(scan);
	if (digits == 0 || (zero && digits > 1))
		return refuse(scan, "malformed number");
	if (peek(scan) == '.') {
		scan->at++;
		if (skip_digits(scan) == 0)
			return refuse(scan, "malformed number");
	}
	if (peek(scan) == 'e' || peek(scan) == 'E') {
		scan->at++;
		if (peek(scan) == '+' || peek(scan) == '-')
			scan->at++;
		if (skip_digits(scan) == 0)
			return refuse(scan, "malformed number");
	}
	return true;
}

/* An array or object opens or closes, or a comma announces one more value. */
static bool scan_structure(struct scan *scan, char c)
{
	scan->at++;
	switch (c) {
	case '{':
	case '[':
		if (++scan->depth > JSON_MAX_DEPTH)
			return refuse(scan, "nested too deep");
		break;
	case '}':
	case ']':
		if (scan->depth-- == 0)
			return refuse(scan, "closed more often than opened");
		return true;
	case ',':
		break;
	default:
		return true;
	}
	if (++scan->values > JSON_MAX_VALUES)
		return refuse(scan, "too many values");
	return true;
}

static bool scan_token(struct scan *scan)
{
	static const char *const words[] = {"true", "false", "null"};
	char c = peek(scan);

	if (c == '"')
		return scan_string(scan);
	if (c == '-' || ascii_is_digit(c))
		return scan_number(scan);
	if (c != '\0' && strchr("{}[],:", c))
		return scan_structure(scan, c);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i]);

		if (scan->length - scan->at >= length &&
		    memcmp(scan->text + scan->at, words[i], length) == 0) {
			scan->at += length;
			return true;
		}
	}
	return refuse(scan, c == '\0' ? "NUL byte" : "not JSON");
}

static void skip_space(struct scan *scan)
{
	while (peek(scan) != '\0' && strchr(" \t\r\n", peek(scan)))
		scan->at++;
}

static bool scan_all(struct scan *scan)
{
	skip_space(scan);
	if (scan->at == scan->length)
		return refuse(scan, "empty");
	while (scan->at < scan->length) {
		if (!scan_token(scan))
			return false;
		skip_space(scan);
	}
	return true;
}

enum status json_parse(const char *text, size_t length, cJSON **ret, struct error *error)
{
	struct scan scan = {.text = text, .length = length};
	const char *end = NULL;
	cJSON *value;

	if (!scan_all(&scan))
		return error_set(error, BW_INVALID, "invalid JSON at byte %zu: %s", scan.at,
				 scan.problem);
	value = cJSON_ParseWithLengthOpts(text, length, &end, false);
	scan.at = end ? (size_t)(end - text) : 0;
	if (!value)
		return error_set(error, BW_INVALID, "invalid JSON at byte %zu", scan.at);
	skip_space(&scan);
	if (scan.at != length) {
		cJSON_Delete(value);
		return error_set(error, BW_INVALID, "invalid JSON at byte %zu: more than one value",
				 scan.at);
	}
	*ret = value;
	return BW_OK;
}

/* The lock covers the count, and is a leaf. */
static pthread_mutex_t large_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t large_ended = PTHREAD_COND_INITIALIZER;
static unsigned large_count;

void json_large_begin(size_t length)
{
	if (length < JSON_LARGE_BYTES)
		return;
	pthread_mutex_lock(&large_lock);
	while (large_count == JSON_LARGE_AT_ONCE)
		pthread_cond_wait(&large_ended, &large_lock);
	large_count++;
	pthread_mutex_unlock(&large_lock);
}

void json_large_end(size_t length)
{
	if (length < JSON_LARGE_BYTES)
		return;
	pthread_mutex_lock(&large_lock);
	large_count--;
	pthread_cond_signal(&large_ended);
	pthread_mutex_unlock(&large_lock);
}

const cJSON *json_member(const cJSON *object, const char *name)
{
	const cJSON *found = NULL;
	const cJSON *member;

	if (!cJSON_IsObject(object))
		return NULL;
	cJSON_ArrayForEach(member, object)
	{
		if (strcmp(member->string, name) != 0)
			continue;
		if (found)
			return NULL;
		found = member;
	}
	return found;
}

const char *json_string(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(json_member(object, name));
}

/* Not valueint: that saturates at INT_MAX without a word. */
bool json_u64(const cJSON *object, const char *name, uint64_t *ret)
{
	const cJSON *member = json_member(object, name);
	double number;

	if (!cJSON_IsNumber(member))
		return false;
	number = member->valuedouble;
	if (!(number >= 0 && number <= JSON_MAX_NUMBER) || number != (double)(uint64_t)number)
		return false;
	*ret = (uint64_t)number;
	return true;
}
