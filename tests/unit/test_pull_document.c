/*
 * Lists of an upstream: pages joined, limits kept, served stale, and gone when
 * the upstream says so.
 */
#include "server/base/buf.h"
#include "tests/support/cache_world.h"

#define FIRST_PAGE "tags/list?n=1000"

static struct world *world;

static int make(void **state)
{
	(void)state;
	world = world_new();
	return 0;
}

static int forget(void **state)
{
	(void)state;
	world_free(world);
	return 0;
}

static void answer(const char *path, struct fake_reply reply)
{
	fake_answer(FAKE_DOCUMENT, "a.test", "team/app", path, reply);
}

static void answer_body(const char *path, const char *body)
{
	answer(path, (struct fake_reply){.body = body});
}

static unsigned asked(const char *path)
{
	return fake_asked(FAKE_DOCUMENT, "a.test", "team/app", path).gets;
}

/* The tags as "a,b,c,". The caller frees them; NULL: failed. */
static char *tags_with(enum cache_verdict expected, struct error *error)
{
	struct tag_names tags = {0};
	enum cache_verdict verdict;
	struct buf joined = BUF_INIT(1 << 20);

	if (cache_list_tags(world->cache, &world->a, &tags, &verdict, error) != BW_OK)
		return NULL;
	assert_int_equal(verdict, expected);
	buf_append_string(&joined, "");
	for (size_t i = 0; i < tags.count; i++) {
		buf_append_string(&joined, tags.names[i]);
		buf_append_char(&joined, ',');
	}
	tag_names_release(&tags);
	return buf_detach(&joined, NULL);
}

static void assert_tags(enum cache_verdict verdict, const char *expected)
{
	char *tags = tags_with(verdict, NULL);

	assert_non_null(tags);
	assert_string_equal(tags, expected);
	free(tags);
}

static enum status tags_fail(struct error *error)
{
	struct tag_names tags = {0};
	enum cache_verdict verdict;
	enum status status = cache_list_tags(world->cache, &world->a, &tags, &verdict, error);

	assert_null(tags.names);
	return status;
}

static void expire(void)
{
	world->upstreams[0].manifest_ttl_ms = 0;
}

/* ---- tags ---- */

static void tags_come_sorted_and_once(void **state)
{
	(void)state;
	answer_body(FIRST_PAGE, "{\"name\":\"team/app\",\"tags\":[\"v2\",\"latest\",\"V1\",\"v10\","
				"\"latest\"]}");
	assert_tags(CACHE_MISS, "V1,latest,v10,v2,");
	assert_tags(CACHE_HIT, "V1,latest,v10,v2,");
	assert_int_equal(asked(FIRST_PAGE), 1);
}

static void no_tags_are_no_tags(void **state)
{
	(void)state;
	expire();
	answer_body(FIRST_PAGE, "{\"name\":\"team/app\",\"tags\":null}");
	assert_tags(CACHE_MISS, "");
	answer_body(FIRST_PAGE, "{\"name\":\"team/app\",\"tags\":[]}");
	assert_tags(CACHE_MISS, "");
}

static void pages_are_joined(void **state)
{
	(void)state;
	answer(FIRST_PAGE, (struct fake_reply){.body = "{\"tags\":[\"a\",\"b\"]}", .next = "p2"});
	answer("p2", (struct fake_reply){.body = "{\"tags\":null}", .next = "p3"});
	answer("p3", (struct fake_reply){.body = "{\"tags\":[\"b\",\"c\"]}"});
	assert_tags(CACHE_MISS, "a,b,c,");
	assert_int_equal(asked("p2"), 1);
	assert_int_equal(asked("p3"), 1);
}

/* An attacker's, or a broken, upstream: the end never comes. */
static void pages_without_end_end(void **state)
{
	(void)state;
	answer(FIRST_PAGE, (struct fake_reply){.body = "{\"tags\":[\"a\"]}", .next = FIRST_PAGE});
	assert_tags(CACHE_MISS, "a,");
	assert_true(asked(FIRST_PAGE) <= 100);
}

static void half_a_list_is_no_list(void **state)
{
	struct error error = {0};

	(void)state;
	answer(FIRST_PAGE, (struct fake_reply){.body = "{\"tags\":[\"a\"]}", .next = "p2"});
	answer("p2", (struct fake_reply){.status = BW_UNREACHABLE, .http_status = 500});
	assert_int_equal(tags_fail(&error), BW_UNREACHABLE);
	assert_int_equal(error.http_status, 500);
}

static void names_that_are_no_tags_are_left_out(void **state)
{
	(void)state;
	answer_body(FIRST_PAGE,
		    "{\"tags\":[\"ok\",\"../../etc\",\"\",7,null,{\"a\":[]},\"a b\",\"-x\",\"\\n\","
		    "\"a/b\",\"\\u00e4\"]}");
	assert_tags(CACHE_MISS, "ok,");
	world_stop(world);
	world_start(world);
	assert_tags(CACHE_HIT, "ok,");
}

static void what_is_no_list_is_refused(void **state)
{
	static const char *const bodies[] = {
		"",
		"<html>",
		"{",
		"[]",
		"{\"tags\":{}}",
		"{}",
		"{\"tags\":\"a\"}",
		"{\"Tags\":[]}",
		"5",
		"{\"tags\":[]} x",
		"{\"tags\":[],\"tags\":[]}",
	};

	(void)state;
	for (size_t i = 0; i < array_size(bodies); i++) {
		struct error error = {0};

		answer_body(FIRST_PAGE, bodies[i]);
		assert_int_equal(tags_fail(&error), BW_UNREACHABLE);
		assert_non_null(strstr(error.message, "a.test"));
	}
}

static char *a_hundred_thousand_tags(void)
{
	struct buf page = BUF_INIT((size_t)4 << 20);

	buf_append_string(&page, "{\"tags\":[");
	for (unsigned i = 0; i < 100000; i++)
		buf_printf(&page, "%s\"t%05u\"", i ? "," : "", i);
	buf_append_string(&page, "]}");
	return buf_detach(&page, NULL);
}

static void a_list_without_measure_is_too_large(void **state)
{
	struct error error = {0};
	char *body = a_hundred_thousand_tags();

	(void)state;
	answer(FIRST_PAGE, (struct fake_reply){.body = body, .next = FIRST_PAGE});
	assert_int_equal(tags_fail(&error), BW_TOO_LARGE);
	assert_non_null(strstr(error.message, "a.test"));
	assert_true(asked(FIRST_PAGE) < 100);
	free(body);
}

/* Each page is JSON that we read, and all together have more values than we do:
 * that must be found now, and not by whoever reads what was kept. */
static void what_could_not_be_read_again_is_not_kept(void **state)
{
	struct error error = {0};
	char *body = a_hundred_thousand_tags();

	(void)state;
	answer(FIRST_PAGE, (struct fake_reply){.body = body, .next = "p2"});
	answer("p2", (struct fake_reply){.body = body, .next = "p3"});
	answer("p3", (struct fake_reply){.body = body});
	assert_int_equal(tags_fail(&error), BW_TOO_LARGE);
	assert_non_null(strstr(error.message, "a.test"));
	answer_body(FIRST_PAGE, "{\"tags\":[\"a\"]}");
	assert_tags(CACHE_MISS, "a,");
	free(body);
}

static void an_outage_is_served_stale(void **state)
{
	(void)state;
	answer_body(FIRST_PAGE, "{\"tags\":[\"a\"]}");
	expire();
	assert_tags(CACHE_MISS, "a,");
	answer(FIRST_PAGE, (struct fake_reply){.status = BW_UNAVAILABLE, .http_status = 429});
	assert_tags(CACHE_STALE, "a,");
	answer_body(FIRST_PAGE, "<html>");
	assert_tags(CACHE_STALE, "a,");
	answer_body(FIRST_PAGE, "{\"tags\":[\"b\"]}");
	assert_tags(CACHE_MISS, "b,");
}

static void a_refusal_is_never_served_stale(void **state)
{
	struct error error = {0};

	(void)state;
	answer_body(FIRST_PAGE, "{\"tags\":[\"a\"]}");
	expire();
	assert_tags(CACHE_MISS, "a,");
	answer(FIRST_PAGE, (struct fake_reply){.status = BW_DENIED, .http_status = 403});
	assert_int_equal(tags_fail(&error), BW_DENIED);
	assert_int_equal(error.http_status, 403);
}

static void a_repository_that_is_gone_stays_gone(void **state)
{
	(void)state;
	world->upstreams[0].negative_ttl_ms = 0;
	answer_body(FIRST_PAGE, "{\"tags\":[\"a\"]}");
	expire();
	assert_tags(CACHE_MISS, "a,");
	answer(FIRST_PAGE, (struct fake_reply){.status = BW_ABSENT, .http_status = 404});
	assert_int_equal(tags_fail(NULL), BW_ABSENT);
	answer(FIRST_PAGE, (struct fake_reply){.status = BW_UNREACHABLE});
	assert_int_equal(tags_fail(NULL), BW_UNREACHABLE);
	answer_body(FIRST_PAGE, "{\"tags\":[\"b\"]}");
	assert_tags(CACHE_MISS, "b,");
}

static void absence_is_remembered_for_a_while(void **state)
{
	struct error error = {0};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		answer(FIRST_PAGE, (struct fake_reply){.status = BW_ABSENT, .http_status = 404});
		assert_int_equal(tags_fail(&error), BW_ABSENT);
		assert_non_null(strstr(error.message, "a.test"));
	}
	assert_int_equal(asked(FIRST_PAGE), 1);
}

static void an_index_that_is_down_costs_a_request(void **state)
{
	(void)state;
	answer_body(FIRST_PAGE, "{\"tags\":[\"a\"]}");
	make_fail(&world->metadata_faults, NULL, BW_UNAVAILABLE);
	assert_tags(CACHE_MISS, "a,");
	assert_tags(CACHE_MISS, "a,");
}

/* ---- referrers ---- */

#define INDEX_OF(items) \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[" items "]}"
#define DESCRIPTOR "{\"mediaType\":\"a/b\",\"digest\":\"sha256:00\",\"size\":1}"

static void assert_referrers(const struct digest *subject, const char *expected)
{
	enum cache_verdict verdict;
	char *body = NULL;
	size_t length = 0;

	assert_int_equal(cache_get_referrers(world->cache, &world->a, subject, &body, &length,
					     &verdict, NULL),
			 BW_OK);
	assert_string_equal(body, expected);
	assert_int_equal(length, strlen(expected));
	free(body);
}

static void referrers_come_from_the_api(void **state)
{
	char text[DIGEST_TEXT_SIZE], *path;
	struct digest subject;

	(void)state;
	digest_of(DIGEST_SHA256, "x", 1, &subject);
	digest_format(&subject, text);
	path = xasprintf("referrers/%s", text);
	answer(path, (struct fake_reply){.body = INDEX_OF(DESCRIPTOR), .next = "p2"});
	answer_body("p2", INDEX_OF(DESCRIPTOR));
	assert_referrers(&subject, INDEX_OF(DESCRIPTOR "," DESCRIPTOR));
	assert_referrers(&subject, INDEX_OF(DESCRIPTOR "," DESCRIPTOR));
	assert_int_equal(asked(path), 1);
	free(path);
}

static void the_fallback_tag_is_asked_where_there_is_no_api(void **state)
{
	char hex[DIGEST_TEXT_SIZE], *tag;
	struct digest subject;

	(void)state;
	digest_of(DIGEST_SHA512, "x", 1, &subject);
	digest_format_hex(&subject, hex);
	tag = xasprintf("sha512-%.64s", hex);
	fake_answer(
		FAKE_MANIFEST, "a.test", "team/app", tag,
		(struct fake_reply){.body = INDEX_OF(DESCRIPTOR), .media_type = MEDIA_OCI_INDEX});
	assert_referrers(&subject, INDEX_OF(DESCRIPTOR));
	free(tag);
	digest_of(DIGEST_SHA256, "x", 1, &subject);
	digest_format_hex(&subject, hex);
	tag = xasprintf("sha256-%s", hex);
	fake_answer(
		FAKE_MANIFEST, "a.test", "team/app", tag,
		(struct fake_reply){.body = INDEX_OF(DESCRIPTOR), .media_type = MEDIA_OCI_INDEX});
	assert_referrers(&subject, INDEX_OF(DESCRIPTOR));
	free(tag);
}

static void nothing_refers_to_it_is_an_empty_index(void **state)
{
	struct digest subject;

	(void)state;
	digest_of(DIGEST_SHA256, "x", 1, &subject);
	assert_referrers(&subject, INDEX_OF(""));
}

static void an_outage_is_not_an_empty_index(void **state)
{
	char text[DIGEST_TEXT_SIZE], *path, *tag, *body = NULL;
	enum cache_verdict verdict;
	struct digest subject;
	size_t length;

	(void)state;
	digest_of(DIGEST_SHA256, "x", 1, &subject);
	digest_format(&subject, text);
	path = xasprintf("referrers/%s", text);
	tag = xasprintf("sha256-%s", text + strlen("sha256:"));
	answer(path, (struct fake_reply){.status = BW_UNREACHABLE, .http_status = 503});
	assert_int_equal(cache_get_referrers(world->cache, &world->a, &subject, &body, &length,
					     &verdict, NULL),
			 BW_UNREACHABLE);
	answer(path, (struct fake_reply){.status = BW_ABSENT, .http_status = 404});
	fake_answer(FAKE_MANIFEST, "a.test", "team/app", tag,
		    (struct fake_reply){.status = BW_UNAVAILABLE, .http_status = 429});
	assert_int_equal(cache_get_referrers(world->cache, &world->a, &subject, &body, &length,
					     &verdict, NULL),
			 BW_UNAVAILABLE);
	assert_null(body);
	free(path);
	free(tag);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tags_come_sorted_and_once),
		TEST(no_tags_are_no_tags),
		TEST(pages_are_joined),
		TEST(pages_without_end_end),
		TEST(half_a_list_is_no_list),
		TEST(names_that_are_no_tags_are_left_out),
		TEST(what_is_no_list_is_refused),
		TEST(a_list_without_measure_is_too_large),
		TEST(what_could_not_be_read_again_is_not_kept),
		TEST(an_outage_is_served_stale),
		TEST(a_refusal_is_never_served_stale),
		TEST(a_repository_that_is_gone_stays_gone),
		TEST(absence_is_remembered_for_a_while),
		TEST(an_index_that_is_down_costs_a_request),
		TEST(referrers_come_from_the_api),
		TEST(the_fallback_tag_is_asked_where_there_is_no_api),
		TEST(nothing_refers_to_it_is_an_empty_index),
		TEST(an_outage_is_not_an_empty_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
