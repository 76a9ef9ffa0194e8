/*
 * The parsers, for a test that speaks lines: it reads "COMMAND HEX HEX...",
 * and prints one line with what the parser made of the bytes: "no", or "yes"
 * and the values, again in hex where they are text. And the upload state machine
 * (uploads.h), for a test that has a model of it.
 */
#include "server/base/buf.h"
#include "server/base/digest.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/http/range.h"
#include "server/oci/manifest.h"
#include "server/oci/media_type.h"
#include "server/oci/name.h"
#include "server/upstream/challenge.h"
#include "server/upstream/url.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ARGUMENTS 6

struct argument {
	char *text; /* NUL-terminated, exactly as large as it must be: ASan sees a read behind it */
	size_t length;
};

static void print_text(const char *text)
{
	printf(" ");
	for (; *text; text++)
		printf("%02x", (unsigned char)*text);
	printf(".");
}

static void print_bool(bool value)
{
	printf(value ? "yes" : "no");
}

static void run_repository(const struct argument *a)
{
	print_bool(repository_name_valid(a->text, a->length));
}

static void run_tag(const struct argument *a)
{
	print_bool(tag_valid(a->text, a->length));
}

static void run_digest(const struct argument *a)
{
	struct digest digest;
	char text[DIGEST_TEXT_SIZE];
	bool parsed = digest_parse(a->text, a->length, &digest);

	print_bool(parsed);
	if (parsed) {
		digest_format(&digest, text);
		print_text(text);
	}
}

static void run_host(const struct argument *a)
{
	char host[HOST_MAX + 1];
	bool parsed = host_normalize(a->text, a->length, host);

	print_bool(parsed);
	if (parsed)
		print_text(host);
}

static void run_range(const struct argument *a)
{
	struct byte_range range = {0};
	uint64_t size = strtoull(a[1].text, NULL, 10);

	switch (range_parse(a->text, size, &range)) {
	case RANGE_WHOLE:
		printf("whole");
		break;
	case RANGE_PART:
		printf("part %" PRIu64 " %" PRIu64, range.first, range.length);
		break;
	case RANGE_UNSATISFIABLE:
		printf("unsatisfiable");
		break;
	}
}

static void run_challenge(const struct argument *a)
{
	struct challenge challenge = {0};
	bool parsed = challenge_parse(a->text, a->length, &challenge);

	print_bool(parsed);
	if (parsed) {
		printf(" %d", (int)challenge.scheme);
		print_text(challenge.realm);
		print_text(challenge.service);
		print_text(challenge.scope);
	}
}

static void run_size(const struct argument *a)
{
	uint64_t bytes;

	if (str_parse_size(a->text, &bytes))
		printf("yes %" PRIu64, bytes);
	else
		printf("no");
}

static void run_duration(const struct argument *a)
{
	int64_t ms;

	if (str_parse_duration(a->text, &ms))
		printf("yes %" PRId64, ms);
	else
		printf("no");
}

static void run_format_duration(const struct argument *a)
{
	char text[64];

	str_format_duration(strtoll(a->text, NULL, 10), text, sizeof(text));
	printf("yes");
	print_text(text);
}

static void run_glob(const struct argument *a)
{
	print_bool(str_glob_match(a[0].text, a[1].text));
}

static void run_media_type(const struct argument *a)
{
	char type[256];
	bool parsed = media_type_parse(a->text, type, sizeof(type));

	print_bool(parsed);
	if (parsed)
		print_text(type);
}

static void run_manifest(const struct argument *a)
{
	struct manifest manifest;

	if (manifest_parse(a->text, a->length, NULL, &manifest, NULL) != BW_OK) {
		printf("no");
		return;
	}
	printf("yes %d %zu %zu %d", (int)manifest.kind, manifest.blob_count,
	       manifest.manifest_count, manifest.has_subject);
	manifest_release(&manifest);
}

static void run_resolve(const struct argument *a)
{
	char *url = NULL;

	if (url_resolve(a[0].text, a[1].text, &url, NULL) != BW_OK) {
		printf("no");
		return;
	}
	printf("yes");
	print_text(url);
	free(url);
}

static void run_origin(const struct argument *a)
{
	char origin[URL_MAX];
	bool parsed = url_origin(a->text, origin, sizeof(origin));

	print_bool(parsed);
	if (parsed)
		print_text(origin);
}

#include "tests/property/uploads.h" /* commands, like those above */

static const struct command {
	const char *name;
	void (*run)(const struct argument *arguments);
} commands[] = {
	{"repository", run_repository},
	{"tag", run_tag},
	{"digest", run_digest},
	{"host", run_host},
	{"range", run_range},
	{"challenge", run_challenge},
	{"size", run_size},
	{"duration", run_duration},
	{"format-duration", run_format_duration},
	{"glob", run_glob},
	{"media-type", run_media_type},
	{"manifest", run_manifest},
	{"resolve", run_resolve},
	{"origin", run_origin},
	{"upload-world", run_upload_world},
	{"upload-begin", run_upload_begin},
	{"upload-get", run_upload_get},
	{"upload-append", run_upload_append},
	{"upload-finish", run_upload_finish},
	{"upload-cancel", run_upload_cancel},
	{"upload-blob", run_upload_blob},
	{"upload-left", run_upload_left},
};

static void argument_read(const char *hex, struct argument *ret)
{
	ret->length = strlen(hex) / 2;
	ret->text = calloc(1, ret->length + 1);
	if (!ret->text || !str_unhex(hex, ret->length * 2, (unsigned char *)ret->text))
		abort();
}

static void run_line(char *line)
{
	struct argument arguments[MAX_ARGUMENTS] = {0};
	char *rest = NULL;
	const char *name = strtok_r(line, " \n", &rest);

	for (size_t i = 0; i < MAX_ARGUMENTS; i++) {
		const char *hex = strtok_r(NULL, " \n", &rest);

		argument_read(hex && strcmp(hex, "-") ? hex : "", &arguments[i]);
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (name && strcmp(name, commands[i].name) == 0)
			commands[i].run(arguments);
	printf("\n");
	fflush(stdout);
	for (size_t i = 0; i < MAX_ARGUMENTS; i++)
		free(arguments[i].text);
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0)
		run_line(line);
	free(line);
	uploads_end();
	return 0;
}
