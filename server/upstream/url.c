#include "server/upstream/url.h"

#include "server/base/memory.h"
#include "server/base/str.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

/* Spaces, control bytes, backslashes and raw UTF-8 are what parsers of URLs
 * disagree about, so nothing that has one gets as far as a parser. */
static bool has_only_url_bytes(const char *text)
{
	size_t length = strnlen(text, URL_MAX + 1);

	if (length == 0 || length > URL_MAX)
		return false;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c >= 0x7f || c == '\\')
			return false;
	}
	return true;
}

static bool has_scheme(const char *text)
{
	return text[strcspn(text, ":/?#")] == ':';
}

/* libcurl takes "https:/host" and "https:///host" for "https://host"; we do not. */
static bool is_absolute_http(const char *text)
{
	size_t scheme = strcspn(text, ":/?#");
	struct slice name = {text, scheme};
	char lower[8] = "";

	if (scheme != 4 && scheme != 5)
		return false;
	for (size_t i = 0; i < scheme; i++)
		lower[i] = ascii_lower(name.data[i]);
	if (strcmp(lower, "http") != 0 && strcmp(lower, "https") != 0)
		return false;
	return strncmp(text + scheme, "://", 3) == 0 && text[scheme + 3] != '/' &&
	       text[scheme + 3] != '\0';
}

/* NULL when it is not an absolute http(s) URL without user information. */
static CURLU *parse(const char *url)
{
	CURLU *parsed;
	char *zone = NULL;

	if (!has_only_url_bytes(url) || !is_absolute_http(url))
		return NULL;
	parsed = curl_url();
	if (!parsed)
		return NULL;
	/* a zone is no part of a host's name, and would be lost from an origin */
	if (curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK ||
	    curl_url_get(parsed, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK) {
		curl_free(zone);
		curl_url_cleanup(parsed);
		return NULL;
	}
	return parsed;
}

bool url_origin(const char *url, char *target, size_t target_size)
{
	char *scheme = NULL, *host = NULL, *port = NULL, *origin = NULL;
	CURLU *parsed = parse(url);
	bool ok = false;

	if (!parsed)
		return false;
	if (curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
		goto out;
	origin = xasprintf("%s://%s:%s", scheme, host, port);
	for (char *c = origin; *c; c++)
		*c = ascii_lower(*c);
	if (strlen(origin) < target_size)
		ok = str_copy(target, target_size, origin);
out:
	free(origin);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parsed);
	return ok;
}

bool url_same_origin(const char *a, const char *b)
{
	char a_origin[URL_ORIGIN_SIZE], b_origin[URL_ORIGIN_SIZE];

	return url_origin(a, a_origin, sizeof(a_origin)) &&
	       url_origin(b, b_origin, sizeof(b_origin)) && strcmp(a_origin, b_origin) == 0;
}

bool url_is_https(const char *url)
{
	char origin[URL_ORIGIN_SIZE];

	return url_origin(url, origin, sizeof(origin)) && str_starts_with(origin, "https:");
}

static char *without_fragment(const char *url)
{
	return xstrndup(url, strcspn(url, "#"));
}

/* The signature of a signed URL covers its very bytes, so an absolute Location
 * is taken as it stands; only a relative one is put together by libcurl. */
static char *join(const char *base, const char *location)
{
	CURLU *parsed = parse(base);
	char *joined = NULL, *result = NULL;

	if (!parsed)
		return NULL;
	if (is_absolute_http(location)) {
		result = without_fragment(location);
	} else if (curl_url_set(parsed, CURLUPART_URL, location, CURLU_DISALLOW_USER) ==
			   CURLUE_OK &&
		   curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
		   curl_url_get(parsed, CURLUPART_URL, &joined, 0) == CURLUE_OK) {
		result = xstrdup(joined);
		curl_free(joined);
	}
	curl_url_cleanup(parsed);
	return result;
}

enum status url_resolve(const char *base, const char *location, char **ret_url, struct error *error)
{
	char origin[URL_ORIGIN_SIZE];
	enum status status = BW_INVALID;
	char *url = NULL;

	if (!has_only_url_bytes(location)) {
		error_set(error, status, "a redirect to a malformed URL, or one over %d bytes",
			  URL_MAX);
		goto out;
	}
	if (has_scheme(location) && !is_absolute_http(location)) {
		error_set(error, status, "a redirect to something that is not http or https");
		goto out;
	}
	url = join(base, location);
	if (!url || !url_origin(url, origin, sizeof(origin))) {
		error_set(error, status, "a redirect to a malformed URL");
		goto out;
	}
	if (url_is_https(base) && !str_starts_with(origin, "https:")) {
		error_set(error, status, "a redirect from https down to %s", origin);
		goto out;
	}
	*ret_url = url;
	url = NULL;
	status = BW_OK;
out:
	free(url);
	return status;
}

void url_for_people(const char *url, char *target, size_t target_size)
{
	size_t length = strcspn(url, "?#");
	const char *authority = strstr(url, "://");
	const char *user_end = NULL;
	char *text;

	if (authority && (size_t)(authority - url) < length) {
		size_t end;

		authority += 3;
		end = (size_t)(authority - url) + strcspn(authority, "/?#");
		user_end = memrchr(authority, '@', end - (size_t)(authority - url));
	}
	if (user_end)
		text = xasprintf("%.*s%.*s", (int)(authority - url), url,
				 (int)(length - (size_t)(user_end + 1 - url)), user_end + 1);
	else
		text = xstrndup(url, length);
	str_copy(target, target_size, text);
	free(text);
}
