/*
 * Lists of local repositories: tags, referrers, the catalog.
 */
#include "server/base/buf.h"
#include "server/base/json.h"
#include "tests/support/push_world.h"

static struct push_world *push;
static struct api_failure failure;

static int make(void **state)
{
	(void)state;
	push = push_world_new(CHECK_NOTHING);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	push_world_free(push);
	return 0;
}

static void put_at(const struct target *target, const char *reference, const char *body)
{
	const struct manifest_push request = {
		.reference = reference, .body = body, .length = strlen(body)};
	struct pushed_manifest pushed;

	if (!registry_put_manifest(push->registry, target, &request, &pushed, &failure))
		fail_msg("%s", failure.message);
}

#define EMPTY_INDEX "{\"schemaVersion\":2,\"manifests\":[]}"

static void put_tags(const char *const *tags, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put_at(&push->target, tags[i], EMPTY_INDEX);
}

static void assert_tags(const char *n, const char *last, const char *tags, const char *link)
{
	struct registry_document document = {0};
	char *expected = xasprintf("{\"name\":\"team/app\",\"tags\":[%s]}", tags);

	assert_true(registry_list_tags(push->other, &push->target, "team/app", n, last, &document,
				       &failure));
	assert_string_equal(buf_string(document.body), expected);
	assert_int_equal(document.verdict, CACHE_LOCAL);
	if (link)
		assert_string_equal(document.link, link);
	else
		assert_null(document.link);
	registry_document_release(&document);
	free(expected);
}

#define LINK "/v2/team/app/tags/list?n="

static void tags_come_in_pages(void **state)
{
	static const char *const tags[] = {"b", "a", "d", "c"};

	(void)state;
	put_tags(tags, array_size(tags));
	assert_tags(NULL, NULL, "\"a\",\"b\",\"c\",\"d\"", NULL);
	assert_tags("4", NULL, "\"a\",\"b\",\"c\",\"d\"", NULL);
	assert_tags("2", NULL, "\"a\",\"b\"", LINK "2&last=b");
	assert_tags("2", "b", "\"c\",\"d\"", NULL);
	assert_tags("1", "b", "\"c\"", LINK "1&last=c");
	assert_tags("0", NULL, "", NULL);
	assert_tags("9", "d", "", NULL);
	assert_tags(NULL, "bb", "\"c\",\"d\"", NULL);
	assert_tags(NULL, "\xff\xff", "", NULL);
	assert_tags(NULL, "no/tag at \"all\"", "", NULL);
	assert_tags("18446744073709551615", NULL, "\"a\",\"b\",\"c\",\"d\"", NULL);
}

static void what_is_no_repository_has_no_list(void **state)
{
	struct registry_document document = {0};
	struct digest digest;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		assert_false(registry_list_tags(push->registry, &push->target, "team/app",
						i ? "0" : NULL, NULL, &document, &failure));
		assert_int_equal(failure.http_status, 404);
		assert_int_equal(failure.code, API_NAME_UNKNOWN);
	}
	/* one that has a blob and no tag yet has an empty one */
	free(some_bytes(0, 1, &digest));
	push_bytes(push, &push->target, "", 0, &digest);
	assert_tags(NULL, NULL, "", NULL);
	make_fail(&push->world->metadata_faults, NULL, BW_IO);
	make_fail(&push->world->object_faults, NULL, BW_IO);
	assert_false(registry_list_tags(push->registry, &push->target, "team/app", NULL, NULL,
					&document, &failure));
	assert_int_equal(failure.http_status, 503);
	make_fail(&push->world->metadata_faults, NULL, BW_OK);
	make_fail(&push->world->object_faults, NULL, BW_OK);
}

static void assert_catalog(const char *n, const char *last, const char *names, const char *link)
{
	struct registry_document document = {0};
	char *expected = xasprintf("{\"repositories\":[%s]}", names);

	if (!registry_list_repositories(push->registry, n, last, &document, &failure))
		fail_msg("%s", failure.message);
	assert_string_equal(buf_string(document.body), expected);
	if (link)
		assert_string_equal(document.link, link);
	else
		assert_null(document.link);
	registry_document_release(&document);
	free(expected);
}

static void the_catalog_comes_in_pages(void **state)
{
	struct registry_document document = {0};
	int64_t token = 0;

	(void)state;
	assert_int_equal(content_begin_rebuild(push->world->content, &token, NULL), BW_OK);
	assert_int_equal(content_end_rebuild(push->world->content, token, NULL), BW_OK);
	assert_catalog(NULL, NULL, "", NULL);
	put_at(&push->target, "x", EMPTY_INDEX);
	put_at(&push->elsewhere, "x", EMPTY_INDEX);
	assert_catalog(NULL, NULL, "\"team/app\",\"team/other\"", NULL);
	assert_catalog("1", NULL, "\"team/app\"", "/v2/_catalog?n=1&last=team%2Fapp");
	assert_catalog("1", "team/app", "\"team/other\"", NULL);
	assert_catalog("0", NULL, "", NULL);
	assert_false(registry_list_repositories(push->registry, "x", NULL, &document, &failure));
	assert_int_equal(failure.http_status, 400);
	assert_int_equal(failure.code, API_PAGINATION_NUMBER_INVALID);
}

/* ---- referrers ---- */

#define SUBJECT "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Its digest's text; the caller frees it. */
static char *put_referrer(const char *type, unsigned number, size_t padding)
{
	char *spaces = xcalloc(1, padding + 1);
	struct digest digest;
	char text[DIGEST_TEXT_SIZE];
	char *body;

	memset(spaces, 'p', padding);
	body = xasprintf(
		"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX
		"\",\"artifactType\":\"%s\",\"manifests\":[],\"annotations\":{\"n\":\"%u\","
		"\"p\":\"%s\"},\"subject\":{\"mediaType\":\"" MEDIA_OCI_MANIFEST
		"\",\"digest\":\"" SUBJECT "\",\"size\":0}}",
		type, number, spaces);
	digest_of(DIGEST_SHA256, body, strlen(body), &digest);
	digest_format(&digest, text);
	put_at(&push->target, text, body);
	free(body);
	free(spaces);
	return xstrdup(text);
}

/* How many there are on the page; *ret_link is the caller's to free. */
static int list_referrers(const char *type, const char *last, bool filtered, char **ret_link)
{
	struct registry_document document = {0};
	cJSON *json = NULL;
	int count;

	assert_true(registry_get_referrers(push->registry, &push->target, "team/app", SUBJECT, type,
					   last, &document, &failure));
	assert_true(document.body->length <= REFERRERS_PAGE_BYTES);
	assert_int_equal(document.filters_applied, filtered);
	assert_string_equal(document.content_type, MEDIA_OCI_INDEX);
	assert_int_equal(json_parse(document.body->data, document.body->length, &json, NULL),
			 BW_OK);
	assert_string_equal(json_string(json, "mediaType"), MEDIA_OCI_INDEX);
	count = cJSON_GetArraySize(json_member(json, "manifests"));
	cJSON_Delete(json);
	*ret_link = document.link ? xstrdup(document.link) : NULL;
	registry_document_release(&document);
	return count;
}

static void referrers_are_listed_and_filtered(void **state)
{
	char *link = NULL;

	(void)state;
	assert_int_equal(list_referrers(NULL, NULL, false, &link), 0);
	free(put_referrer("a/signature", 1, 0));
	free(put_referrer("a/signature", 2, 0));
	free(put_referrer("a/sbom", 3, 0));
	assert_int_equal(list_referrers(NULL, NULL, false, &link), 3);
	assert_int_equal(list_referrers("", NULL, false, &link), 3);
	assert_int_equal(list_referrers("a/signature", NULL, true, &link), 2);
	assert_int_equal(list_referrers("a/none", NULL, true, &link), 0);
	assert_null(link);
}

static void a_deleted_referrer_is_not_listed(void **state)
{
	char *digest = put_referrer("a/sbom", 1, 0);
	char *link = NULL;

	(void)state;
	assert_true(registry_delete_manifest(push->registry, &push->target, digest, &failure));
	assert_int_equal(list_referrers(NULL, NULL, false, &link), 0);
	free(digest);
}

/* No page is larger than what clients take for a manifest. */
static void many_referrers_come_in_pages(void **state)
{
	static const char *const types[] = {NULL, "a/b+c"};

	(void)state;
	for (unsigned i = 0; i < 12; i++)
		free(put_referrer("a/b+c", i, 900000));
	for (size_t t = 0; t < array_size(types); t++) {
		char last[DIGEST_TEXT_SIZE] = "";
		int count = 0, pages = 0;
		char *link;

		do {
			const char *from;

			count += list_referrers(types[t], last, types[t], &link);
			pages++;
			if (!link)
				break;
			from = strstr(link, "?last=");
			assert_non_null(from);
			assert_true(str_starts_with(link, "/v2/team/app/referrers/" SUBJECT "?"));
			assert_true(!types[t] || strstr(link, "&artifactType=a%2Fb%2Bc"));
			snprintf(last, sizeof(last), "%.71s", from + strlen("?last="));
			free(link);
		} while (pages < 20);
		assert_int_equal(count, 12);
		assert_int_equal(pages, 3);
	}
}

static void what_is_no_place_to_go_on_from_is_refused(void **state)
{
	struct registry_document document = {0};

	(void)state;
	assert_false(registry_get_referrers(push->registry, &push->target, "team/app", SUBJECT,
					    NULL, "x", &document, &failure));
	assert_int_equal(failure.http_status, 400);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tags_come_in_pages),
		TEST(what_is_no_repository_has_no_list),
		TEST(the_catalog_comes_in_pages),
		TEST(referrers_are_listed_and_filtered),
		TEST(a_deleted_referrer_is_not_listed),
		TEST(many_referrers_come_in_pages),
		TEST(what_is_no_place_to_go_on_from_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
