#include "server/upstream/challenge.h"

#include "server/base/str.h"

#include <string.h>

/* What is left of the line. Moves forward only, but for the one step back over
 * a word that turned out to be the next challenge's scheme. */
struct cursor {
	const char *at;
	const char *end;
};

static bool is_token_char(char c)
{
	return ascii_is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token68_char(char c)
{
	return ascii_is_alnum(c) || (c && strchr("-._~+/", c));
}

static void skip_space(struct cursor *cursor)
{
	while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t'))
		cursor->at++;
}

/* Lists may have empty elements (RFC 9110, 5.6.1.2). */
static void skip_commas(struct cursor *cursor)
{
	skip_space(cursor);
	while (cursor->at < cursor->end && *cursor->at == ',') {
		cursor->at++;
		skip_space(cursor);
	}
}

static struct slice read_token(struct cursor *cursor)
{
	const char *start = cursor->at;

	while (cursor->at < cursor->end && is_token_char(*cursor->at))
		cursor->at++;
	return (struct slice){start, (size_t)(cursor->at - start)};
}

static bool ended(const struct cursor *cursor)
{
	return cursor->at == cursor->end;
}

/* A scheme may be followed by one blob instead of parameters ("Negotiate YII=").
 * It is one only when nothing but a comma or the end comes after it. */
static bool skip_token68(struct cursor *cursor)
{
	struct cursor ahead = *cursor;

	while (!ended(&ahead) && is_token68_char(*ahead.at))
		ahead.at++;
	if (ahead.at == cursor->at)
		return false;
	while (!ended(&ahead) && *ahead.at == '=')
		ahead.at++;
	skip_space(&ahead);
	if (!ended(&ahead) && *ahead.at != ',')
		return false;
	*cursor = ahead;
	return true;
}

static bool append(char *target, size_t *length, char c)
{
	if (*length + 1 >= CHALLENGE_VALUE_MAX)
		return false;
	target[(*length)++] = c;
	target[*length] = '\0';
	return true;
}

static bool read_quoted(struct cursor *cursor, char target[CHALLENGE_VALUE_MAX])
{
	size_t length = 0;

	target[0] = '\0';
	for (cursor->at++; !ended(cursor); cursor->at++) {
		unsigned char c = (unsigned char)*cursor->at;

		if (c == '"') {
			cursor->at++;
			return true;
		}
		if (c == '\\') {
			if (++cursor->at == cursor->end)
				return false;
			c = (unsigned char)*cursor->at;
		}
		if (c < ' ' || c == 0x7f || !append(target, &length, (char)c))
			return false;
	}
	return false;
}

static bool read_value(struct cursor *cursor, char target[CHALLENGE_VALUE_MAX])
{
	struct slice token;

	skip_space(cursor);
	if (!ended(cursor) && *cursor->at == '"')
		return read_quoted(cursor, target);
	token = read_token(cursor);
	if (token.length == 0 || token.length >= CHALLENGE_VALUE_MAX)
		return false;
	memcpy(target, token.data, token.length);
	target[token.length] = '\0';
	return true;
}

static bool name_is(struct slice name, const char *wanted)
{
	if (name.length != strlen(wanted))
		return false;
	for (size_t i = 0; i < name.length; i++) {
		if (ascii_lower(name.data[i]) != wanted[i])
			return false;
	}
	return true;
}

enum { PARAM_REALM, PARAM_SERVICE, PARAM_SCOPE, PARAM_ERROR, PARAM_COUNT };

/* Where the value of a parameter goes, and which bit says that it came; NULL
 * for those nobody needs. */
static char *slot_of(struct challenge *challenge, struct slice name, unsigned *ret_bit)
{
	static const char *const names[PARAM_COUNT] = {"realm", "service", "scope", "error"};
	char *const slots[PARAM_COUNT] = {challenge->realm, challenge->service, challenge->scope,
					  challenge->error};

	for (unsigned i = 0; i < PARAM_COUNT; i++) {
		if (name_is(name, names[i])) {
			*ret_bit = 1u << i;
			return slots[i];
		}
	}
	return NULL;
}

/* Reads parameters until the end or the next scheme. A parameter that comes
 * twice is refused: whoever reads the other one would see another realm. */
static bool read_params(struct cursor *cursor, struct challenge *challenge)
{
	char ignored[CHALLENGE_VALUE_MAX];
	unsigned seen = 0;

	for (;;) {
		struct cursor start;
		struct slice name;
		unsigned bit = 0;
		char *slot;

		skip_commas(cursor);
		start = *cursor;
		name = read_token(cursor);
		skip_space(cursor);
		if (name.length == 0)
			return ended(cursor);
		if (ended(cursor) || *cursor->at != '=') {
			*cursor = start;
			return true;
		}
		cursor->at++;
		slot = slot_of(challenge, name, &bit);
		if (seen & bit || !read_value(cursor, slot ? slot : ignored))
			return false;
		seen |= bit;
		skip_space(cursor);
		if (!ended(cursor) && *cursor->at != ',')
			return false;
	}
}

static bool read_challenge(struct cursor *cursor, struct challenge *ret)
{
	struct slice scheme = read_token(cursor);
	bool spaced = !ended(cursor) && *cursor->at == ' ';

	memset(ret, 0, sizeof(*ret));
	if (scheme.length == 0)
		return false;
	if (name_is(scheme, "bearer"))
		ret->scheme = CHALLENGE_BEARER;
	else if (name_is(scheme, "basic"))
		ret->scheme = CHALLENGE_BASIC;
	skip_space(cursor);
	if (ended(cursor) || *cursor->at == ',')
		return true;
	return spaced && (skip_token68(cursor) || read_params(cursor, ret));
}

/* Bearer without a realm says nothing that could be acted on. */
static bool is_better(const struct challenge *one, const struct challenge *than)
{
	if (one->scheme == CHALLENGE_BEARER && one->realm[0] == '\0')
		return false;
	return one->scheme > than->scheme;
}

bool challenge_parse(const char *value, size_t length, struct challenge *challenge)
{
	struct cursor cursor = {value, value + length};
	struct challenge best = {0};

	for (;;) {
		struct challenge next;

		skip_commas(&cursor);
		if (ended(&cursor))
			break;
		if (!read_challenge(&cursor, &next))
			return false;
		if (is_better(&next, &best))
			best = next;
	}
	if (is_better(&best, challenge))
		*challenge = best;
	return true;
}
