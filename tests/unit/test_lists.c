/*
 * Tags in pages, referrers filtered, and the references of a path.
 */
#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/registry/registry.h"
#include "tests/support/cache_world.h"

#define SUBJECT "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct world *world;
static struct registry *registry;
static struct target target;

static int make(void **state)
{
	static char no_default[] = "";
	struct api_failure failure;

	(void)state;
	world = world_new();
	world->config.proxy.default_upstream = no_default;
	registry = registry_new(world->content, world->cache, &world->config);
	assert_true(registry_resolve(registry, "a.test/team/app", NULL, NULL, &target, &failure));
	return 0;
}

static int forget(void **state)
{
	(void)state;
	target_release(&target);
	registry_free(registry);
	world_free(world);
	return 0;
}

static void upstream_has_tags(const char *body)
{
	fake_answer(FAKE_DOCUMENT, "a.test", "team/app", "tags/list?n=1000",
		    (struct fake_reply){.body = body});
}

static void assert_page(const char *n, const char *last, const char *body, const char *link)
{
	struct registry_document document = {0};
	struct api_failure failure;

	assert_true(registry_list_tags(registry, &target, "a.test/team/app", n, last, &document,
				       &failure));
	assert_string_equal(buf_string(document.body), body);
	assert_string_equal(document.content_type, "application/json");
	if (link)
		assert_string_equal(document.link, link);
	else
		assert_null(document.link);
	registry_document_release(&document);
}

#define PAGE(tags) "{\"name\":\"a.test/team/app\",\"tags\":[" tags "]}"
#define LINK "/v2/a.test/team/app/tags/list?n="

static void pages_follow_each_other(void **state)
{
	(void)state;
	upstream_has_tags("{\"tags\":[\"c\",\"a\",\"b\",\"d\",\"e\"]}");
	assert_page(NULL, NULL, PAGE("\"a\",\"b\",\"c\",\"d\",\"e\""), NULL);
	assert_page("2", NULL, PAGE("\"a\",\"b\""), LINK "2&last=b");
	assert_page("2", "b", PAGE("\"c\",\"d\""), LINK "2&last=d");
	assert_page("2", "d", PAGE("\"e\""), NULL);
	assert_page("5", NULL, PAGE("\"a\",\"b\",\"c\",\"d\",\"e\""), NULL);
	assert_page("2", "e", PAGE(""), NULL);
}

/* `last` is where to go on, there or not, whatever a client makes of it. */
static void last_need_not_be_a_tag(void **state)
{
	(void)state;
	upstream_has_tags("{\"tags\":[\"a\",\"c\"]}");
	assert_page(NULL, "b", PAGE("\"c\""), NULL);
	assert_page(NULL, "", PAGE("\"a\",\"c\""), NULL);
	assert_page(NULL, "zzz", PAGE(""), NULL);
	assert_page(NULL, "\"}{", PAGE("\"a\",\"c\""), NULL);
	assert_page(NULL, "\xff\xff", PAGE(""), NULL);
}

static void none_asked_for_are_none(void **state)
{
	(void)state;
	upstream_has_tags("{\"tags\":[\"a\"]}");
	assert_page("0", NULL, PAGE(""), NULL);
}

/* CVE-2023-2253: a number is clamped, and never sizes anything. */
static void a_huge_number_is_clamped(void **state)
{
	(void)state;
	upstream_has_tags("{\"tags\":[\"a\",\"b\"]}");
	assert_page("18446744073709551615", NULL, PAGE("\"a\",\"b\""), NULL);
	assert_page("10001", NULL, PAGE("\"a\",\"b\""), NULL);
}

static void what_is_no_number_is_refused(void **state)
{
	static const char *const numbers[] = {
		"", "-1", "x", "1x", " 1", "1.5", "18446744073709551616", "0x10"};

	(void)state;
	upstream_has_tags("{\"tags\":[\"a\"]}");
	for (size_t i = 0; i < array_size(numbers); i++) {
		struct registry_document document = {0};
		struct api_failure failure = {0};

		assert_false(registry_list_tags(registry, &target, "a.test/team/app", numbers[i],
						NULL, &document, &failure));
		assert_int_equal(failure.http_status, 400);
		assert_int_equal(failure.code, API_PAGINATION_NUMBER_INVALID);
		assert_null(document.body);
	}
}

static void no_page_is_longer_than_the_limit(void **state)
{
	static const char *const asked[] = {NULL, "10001", "18446744073709551615"};
	struct buf body = BUF_INIT(1 << 20);

	(void)state;
	buf_append_string(&body, "{\"tags\":[\"t00000\"");
	for (unsigned i = 1; i <= TAGS_PAGE_MAX; i++)
		buf_printf(&body, ",\"t%05u\"", i);
	buf_append_string(&body, "]}");
	upstream_has_tags(buf_string(&body));
	for (size_t i = 0; i < array_size(asked); i++) {
		struct registry_document document = {0};
		struct api_failure failure;
		cJSON *json = NULL;

		assert_true(registry_list_tags(registry, &target, "a.test/team/app", asked[i], NULL,
					       &document, &failure));
		assert_int_equal(
			json_parse(document.body->data, document.body->length, &json, NULL), BW_OK);
		assert_int_equal(cJSON_GetArraySize(json_member(json, "tags")), TAGS_PAGE_MAX);
		assert_string_equal(document.link, LINK "10000&last=t09999");
		cJSON_Delete(json);
		registry_document_release(&document);
	}
	buf_release(&body);
}

/* The next page asks for the same upstream, however this one was named. */
static void the_link_keeps_the_namespace(void **state)
{
	struct registry_document document = {0};
	struct api_failure failure;
	struct target by_ns;

	(void)state;
	upstream_has_tags("{\"tags\":[\"a\",\"b\"]}");
	assert_true(registry_resolve(registry, "team/app", "a.test", NULL, &by_ns, &failure));
	assert_true(
		registry_list_tags(registry, &by_ns, "team/app", "1", NULL, &document, &failure));
	assert_string_equal(buf_string(document.body), "{\"name\":\"team/app\",\"tags\":[\"a\"]}");
	assert_string_equal(document.link, "/v2/team/app/tags/list?n=1&last=a&ns=a.test");
	registry_document_release(&document);
	target_release(&by_ns);
}

static void an_unknown_repository_is_unknown(void **state)
{
	struct registry_document document = {0};
	struct api_failure failure;

	(void)state;
	assert_false(registry_list_tags(registry, &target, "a.test/team/app", NULL, NULL, &document,
					&failure));
	assert_int_equal(failure.http_status, 404);
	assert_int_equal(failure.code, API_NAME_UNKNOWN);
	assert_non_null(strstr(failure.message, "a.test"));
}

static void an_outage_is_no_empty_list(void **state)
{
	struct registry_document document = {0};
	struct api_failure failure;

	(void)state;
	fake_answer(FAKE_DOCUMENT, "a.test", "team/app", "tags/list?n=1000",
		    (struct fake_reply){.status = BW_UNAVAILABLE, .http_status = 429});
	assert_false(registry_list_tags(registry, &target, "a.test/team/app", NULL, NULL, &document,
					&failure));
	assert_int_equal(failure.http_status, 503);
	assert_int_equal(failure.code, API_TOOMANYREQUESTS);
}

/* ---- referrers ---- */

#define HEAD_OF_INDEX "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":["
#define SIGNATURE "{\"digest\":\"sha256:01\",\"artifactType\":\"a/signature\"}"
#define SBOM "{\"digest\":\"sha256:02\",\"artifactType\":\"a/sbom\"}"
#define ODD "{\"digest\":\"sha256:03\",\"artifactType\":7},5,null"

static void assert_referrers(const char *type, const char *body, bool filtered)
{
	struct registry_document document = {0};
	struct api_failure failure;

	assert_true(registry_get_referrers(registry, &target, "a.test/team/app", SUBJECT, type,
					   NULL, &document, &failure));
	assert_string_equal(buf_string(document.body), body);
	assert_string_equal(document.content_type, MEDIA_OCI_INDEX);
	assert_int_equal(document.filters_applied, filtered);
	assert_null(document.link);
	registry_document_release(&document);
}

static void referrers_are_filtered_by_type(void **state)
{
	(void)state;
	fake_answer(FAKE_DOCUMENT, "a.test", "team/app", "referrers/" SUBJECT,
		    (struct fake_reply){.body = HEAD_OF_INDEX SIGNATURE "," ODD "," SBOM
									"," SIGNATURE "]}"});
	assert_referrers(NULL, HEAD_OF_INDEX SIGNATURE "," ODD "," SBOM "," SIGNATURE "]}", false);
	assert_referrers("", HEAD_OF_INDEX SIGNATURE "," ODD "," SBOM "," SIGNATURE "]}", false);
	assert_referrers("a/signature", HEAD_OF_INDEX SIGNATURE "," SIGNATURE "]}", true);
	assert_referrers("a/sbom", HEAD_OF_INDEX SBOM "]}", true);
	assert_referrers("a/", HEAD_OF_INDEX "]}", true);
}

static void nothing_refers_to_it_is_an_empty_index(void **state)
{
	(void)state;
	assert_referrers(NULL, HEAD_OF_INDEX "]}", false);
	assert_referrers("a/sbom", HEAD_OF_INDEX "]}", true);
}

/* ---- what stands in a path ---- */

static const char *const no_digests[] = {
	"",
	"sha256:",
	"sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
	"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
	"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
	"md5:d41d8cd98f00b204e9800998ecf8427e",
	"sha256:../../../../etc/passwd",
	"latest",
};

static void what_is_no_digest_is_refused(void **state)
{
	struct registry_document document = {0};
	struct api_failure failure;
	struct blob_source blob = {0};
	enum cache_verdict verdict;
	uint64_t size;

	(void)state;
	for (size_t i = 0; i < array_size(no_digests); i++) {
		failure = (struct api_failure){0};
		assert_false(registry_open_blob(registry, &target, no_digests[i], &blob, &failure));
		assert_int_equal(failure.http_status, 400);
		assert_int_equal(failure.code, API_DIGEST_INVALID);
		assert_false(registry_stat_blob(registry, &target, no_digests[i], &size, &verdict,
						&failure));
		assert_int_equal(failure.code, API_DIGEST_INVALID);
		assert_false(registry_get_referrers(registry, &target, "a.test/team/app",
						    no_digests[i], NULL, NULL, &document,
						    &failure));
		assert_int_equal(failure.code, API_DIGEST_INVALID);
	}
}

static void what_is_no_reference_is_refused(void **state)
{
	struct manifest_view *view = NULL;
	struct api_failure failure;
	enum cache_verdict verdict;
	char longest[200];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[129] = '\0';
	assert_false(registry_get_manifest(registry, &target, longest, false, &view, &verdict,
					   &failure));
	assert_int_equal(failure.http_status, 400);
	assert_int_equal(failure.code, API_TAG_INVALID);
	assert_false(
		registry_get_manifest(registry, &target, "-x", false, &view, &verdict, &failure));
	assert_int_equal(failure.code, API_TAG_INVALID);
	assert_false(registry_get_manifest(registry, &target, no_digests[2], false, &view, &verdict,
					   &failure));
	assert_int_equal(failure.code, API_DIGEST_INVALID);
	assert_null(view);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pages_follow_each_other),
		TEST(last_need_not_be_a_tag),
		TEST(none_asked_for_are_none),
		TEST(a_huge_number_is_clamped),
		TEST(what_is_no_number_is_refused),
		TEST(no_page_is_longer_than_the_limit),
		TEST(the_link_keeps_the_namespace),
		TEST(an_unknown_repository_is_unknown),
		TEST(an_outage_is_no_empty_list),
		TEST(referrers_are_filtered_by_type),
		TEST(nothing_refers_to_it_is_an_empty_index),
		TEST(what_is_no_digest_is_refused),
		TEST(what_is_no_reference_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
