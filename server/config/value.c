#include "server/config/value.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/config/grammar.h"

#include <inttypes.h>
#include <string.h>

#define SHOWN_MAX 80 /* of a value, in an error */

static bool refuse(struct error *error, const char *text, const char *reason)
{
	error_set(error, BW_INVALID, "\"%.*s\"%s: %s", SHOWN_MAX, text,
		  strlen(text) > SHOWN_MAX ? "..." : "", reason);
	return false;
}

static const char *no_grammar(const char *text)
{
	(void)text;
	return NULL;
}

static const char *not_empty(const char *text)
{
	return *text ? NULL : "it is empty";
}

/* Read only to say early, and by its key, what would fail later. */
static const char *readable_file(const char *text)
{
	FILE *file = fopen(text, "re");
	bool readable = file && fgetc(file) != EOF;

	if (file)
		fclose(file);
	return readable ? NULL : "the file is not there, not readable, or empty";
}

/* "localhost" is for people; a listener binds to addresses. */
static char *normal_address(const char *text)
{
	if (str_starts_with(text, "localhost:"))
		return xasprintf("127.0.0.1%s", strchr(text, ':'));
	return xstrdup(text);
}

/* Without trailing '/', so that paths can be appended. */
static char *normal_url(const char *text)
{
	size_t length = strlen(text);

	while (text[length - 1] == '/')
		length--;
	return xstrndup(text, length);
}

static char *normal_host(const char *text)
{
	char *normal = xstrdup(text);

	for (char *c = normal; *c; c++)
		*c = ascii_lower(*c);
	return normal;
}

/* The types that are stored as text: what they must look like, and their normal
 * form when it is not the text itself. */
static const struct {
	const char *(*grammar)(const char *text);
	char *(*normal)(const char *text);
} texts[KEY_LIST] = {
	[KEY_STRING] = {no_grammar, xstrdup},
	[KEY_SECRET] = {not_empty, xstrdup},
	[KEY_PATH] = {not_empty, xstrdup},
	[KEY_FILE] = {readable_file, xstrdup},
	[KEY_ADDRESS] = {grammar_address, normal_address},
	[KEY_URL] = {grammar_url, normal_url},
	[KEY_ORIGIN] = {grammar_origin, normal_url},
	[KEY_HOST] = {grammar_host, normal_host},
	[KEY_NAME] = {grammar_name, xstrdup},
	[KEY_PATTERN] = {grammar_repository_pattern, xstrdup},
	[KEY_TAGS] = {grammar_tag_pattern, xstrdup},
};

bool value_is_text(enum key_type type)
{
	return type < KEY_LIST && texts[type].grammar;
}

static bool parse_text(const struct config_key *key, enum key_type type, const char *text,
		       void *field, struct error *error)
{
	bool empty = *text == '\0' && key->may_be_empty;
	const char *problem = empty ? NULL : texts[type].grammar(text);
	char *normal;

	/* a URL's user information may be a password */
	if (problem && (type == KEY_SECRET || strchr(text, '@')))
		error_set(error, BW_INVALID, "%s", problem);
	else if (problem)
		refuse(error, text, problem);
	if (problem)
		return false;
	normal = empty ? xstrdup("") : texts[type].normal(text);
	memcpy(field, &normal, sizeof(normal));
	return true;
}

static bool parse_bool(const struct config_key *key, const char *text, void *field,
		       struct error *error)
{
	bool value = strcmp(text, "true") == 0;

	(void)key;
	if (!value && strcmp(text, "false") != 0)
		return refuse(error, text, "it is neither true nor false");
	memcpy(field, &value, sizeof(value));
	return true;
}

static bool parse_uint(const struct config_key *key, const char *text, void *field,
		       struct error *error)
{
	uint64_t value;
	unsigned narrow;

	if (!str_parse_u64(text, strlen(text), &value) || value < key->min || value > key->max) {
		if (key->min == key->max) {
			error_set(error, BW_INVALID, "\"%.*s\": this version knows only %" PRIu64,
				  SHOWN_MAX, text, key->min);
			return false;
		}
		error_set(error, BW_INVALID,
			  "\"%.*s\": it is not a whole number from %" PRIu64 " to %" PRIu64,
			  SHOWN_MAX, text, key->min, key->max);
		return false;
	}
	narrow = (unsigned)value;
	memcpy(field, &narrow, sizeof(narrow));
	return true;
}

static bool parse_duration(const struct config_key *key, const char *text, void *field,
			   struct error *error)
{
	char least[32];
	char most[32];
	int64_t value;

	if (!str_parse_duration(text, &value))
		return refuse(error, text,
			      "it is not a duration with a unit, such as 500ms, 30s, 10m, 1h30m "
			      "or 7d");
	if (value < (int64_t)key->min || value > (int64_t)key->max) {
		str_format_duration((int64_t)key->min, least, sizeof(least));
		str_format_duration((int64_t)key->max, most, sizeof(most));
		error_set(error, BW_INVALID, "\"%.*s\": it is not between %s and %s", SHOWN_MAX,
			  text, least, most);
		return false;
	}
	memcpy(field, &value, sizeof(value));
	return true;
}

static bool parse_size(const struct config_key *key, const char *text, void *field,
		       struct error *error)
{
	uint64_t value;

	if (!str_parse_size(text, &value))
		return refuse(error, text, "it is not a size, such as 1024, 64MiB or 10GB");
	if (value < key->min || value > key->max)
		return refuse(error, text, "it is out of range");
	memcpy(field, &value, sizeof(value));
	return true;
}

static bool parse_choice(const struct config_key *key, const char *text, void *field,
			 struct error *error)
{
	int value;

	if (!value_choose(key->choices, text, &value, error))
		return false;
	memcpy(field, &value, sizeof(value));
	return true;
}

typedef bool (*parser)(const struct config_key *key, const char *text, void *field,
		       struct error *error);

/* The types that are not stored as text. */
static const parser parsers[KEY_LIST] = {
	[KEY_BOOL] = parse_bool, [KEY_UINT] = parse_uint,     [KEY_DURATION] = parse_duration,
	[KEY_SIZE] = parse_size, [KEY_CHOICE] = parse_choice,
};

bool value_parse(const struct config_key *key, enum key_type type, const char *text, void *field,
		 struct error *error)
{
	for (const char *c = text; *c && type != KEY_SECRET; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return refuse(error, text,
				      "it has a line break or another control character");
	if (value_is_text(type))
		return parse_text(key, type, text, field, error);
	return parsers[type](key, text, field, error);
}

/* "a, b or c": the supported ones. */
static void list_choices(const struct key_choice *choices, char *target, size_t target_size)
{
	const struct key_choice *last = NULL;
	size_t length = 0;

	for (const struct key_choice *choice = choices; choice->name; choice++)
		if (!choice->later)
			last = choice;
	target[0] = '\0';
	for (const struct key_choice *choice = choices; choice->name && length < target_size;
	     choice++) {
		const char *between = choice == last ? " or " : ", ";

		if (!choice->later)
			length += (size_t)snprintf(target + length, target_size - length, "%s%s",
						   length ? between : "", choice->name);
	}
}

bool value_choose(const struct key_choice *choices, const char *text, int *ret, struct error *error)
{
	char allowed[256];

	list_choices(choices, allowed, sizeof(allowed));
	for (const struct key_choice *choice = choices; choice->name; choice++) {
		if (strcmp(choice->name, text) != 0)
			continue;
		if (choice->later) {
			error_set(error, BW_UNSUPPORTED,
				  "\"%s\" is not supported yet by this version; only %s is", text,
				  allowed);
			return false;
		}
		*ret = choice->value;
		return true;
	}
	error_set(error, BW_INVALID, "\"%.*s\": it is not %s", SHOWN_MAX, text, allowed);
	return false;
}
