/*
 * What one replica's upstreams found out, told to another's: two sets that share
 * nothing, and the registry that they ask.
 */
#include "server/base/metrics.h"
#include "server/upstream/breaker.h"
#include "server/upstream/upstream_news.h"
#include "tests/support/upstream_fixture.h"

#define REASON "answered 429"

static void heed(void *context, const struct upstream_news *news)
{
	upstream_set_heed(context, news);
}

static void count(void *context, const struct upstream_news *news)
{
	(void)news;
	(*(unsigned *)context)++;
}

static void keep(void *context, const struct upstream_news *news)
{
	*(struct upstream_news *)context = *news;
}

/* The scene's set, and another replica's. */
static struct upstream_set *other_replica(struct scene *scene)
{
	char *keys = xasprintf("      urls: [\"%s\"]\n", scene->one.server->url);
	struct upstream_set *set = make_set(keys, "", NULL);

	free(keys);
	return set;
}

static enum status ask_as(struct scene *scene, struct upstream_set *set)
{
	scene->upstream = upstream_set_find(set, "fake.test");
	return get_manifest(scene, "team/app", "v1");
}

static void nothing_is_told_of_what_is_well(void **state)
{
	struct scene *scene = *state;
	unsigned told = 0;

	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "team/app", "v1"), BW_ABSENT);
	upstream_set_tell(scene->set, count, &told);
	assert_int_equal(told, 0);
}

static void an_open_breaker_is_open_for_all(void **state)
{
	struct scene *scene = *state;
	struct upstream_set *other;
	unsigned asked, told = 0;

	scene_use(scene, false);
	other = other_replica(scene);
	registry_on(&scene->one, ALWAYS("GET "), 500, "", "");
	for (unsigned i = 0; i < BREAKER_FAILURES; i++)
		assert_int_equal(get_manifest(scene, "team/app", "v1"), BW_UNREACHABLE);
	upstream_set_tell(scene->set, heed, other);
	asked = script_requests(scene->one.server);
	assert_int_equal(ask_as(scene, other), BW_UNAVAILABLE);
	assert_says(scene, "answered 500");
	assert_int_equal(script_requests(scene->one.server), asked);
	/* and does not come back to who told it */
	upstream_set_tell(other, count, &told);
	assert_int_equal(told, 0);
	upstream_set_unref(other);
}

static void a_429_pauses_all_with_that_credential(void **state)
{
	struct scene *scene = *state;
	struct upstream_set *other;
	struct upstream_news news = {0};
	unsigned asked;

	scene_use(scene, false);
	other = other_replica(scene);
	registry_on(&scene->one, ALWAYS("GET "), 429, "Retry-After: 57\r\n", "");
	assert_int_equal(get_manifest(scene, "team/app", "v1"), BW_UNAVAILABLE);
	upstream_set_tell(scene->set, keep, &news);
	assert_string_equal(news.upstream, "fake.test");
	assert_string_equal(news.credential, "anonymous");
	assert_in_range(news.throttled_ms, 50000, 57000);
	assert_non_null(strstr(news.reason, REASON));
	upstream_set_heed(other, &news);
	asked = script_requests(scene->one.server);
	assert_int_equal(ask_as(scene, other), BW_UNAVAILABLE);
	assert_says(scene, REASON);
	assert_in_range(scene->error.retry_after, 50, 57);
	assert_int_equal(script_requests(scene->one.server), asked);
	upstream_set_unref(other);
}

static void a_rate_limit_is_known_to_all(void **state)
{
	struct scene *scene = *state;
	struct upstream_set *other;
	struct upstream_news news = {0};
	unsigned told = 0;

	scene_use(scene, false);
	other = other_replica(scene);
	registry_on(&scene->one, ALWAYS("GET "), 404, "RateLimit-Remaining: 76;w=21600\r\n", "");
	assert_int_equal(get_manifest(scene, "team/app", "v1"), BW_ABSENT);
	upstream_set_tell(scene->set, keep, &news);
	assert_true(news.has_remaining);
	assert_int_equal(news.remaining, 76);
	/* a newer reading of another's */
	news.remaining = 12;
	news.remaining_ago_ms = 0;
	upstream_set_heed(other, &news);
	assert_int_equal(
		metric_value(M_UPSTREAM_RATELIMIT, METRIC_LABELS("fake.test", "anonymous")), 12);
	/* an older one changes nothing */
	news.remaining = 99;
	news.remaining_ago_ms = 60000;
	upstream_set_heed(other, &news);
	assert_int_equal(
		metric_value(M_UPSTREAM_RATELIMIT, METRIC_LABELS("fake.test", "anonymous")), 12);
	upstream_set_tell(other, count, &told);
	assert_int_equal(told, 0);
	upstream_set_unref(other);
}

static void news_of_strangers_are_nothing(void **state)
{
	struct scene *scene = *state;
	struct upstream_news news = {.upstream = "fake.test",
				     .credential = "nobody",
				     .open_ms = 5000,
				     .throttled_ms = 5000};

	scene_use(scene, false);
	upstream_set_heed(scene->set, &news);
	assert_true(str_copy(news.credential, sizeof(news.credential), "anonymous"));
	news.mirror = 1;
	upstream_set_heed(scene->set, &news);
	news.mirror = 0;
	assert_true(str_copy(news.upstream, sizeof(news.upstream), "other.test"));
	upstream_set_heed(scene->set, &news);
	assert_int_equal(get_manifest(scene, "team/app", "v1"), BW_ABSENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_start, scene_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_told_of_what_is_well),       TEST(an_open_breaker_is_open_for_all),
		TEST(a_429_pauses_all_with_that_credential), TEST(a_rate_limit_is_known_to_all),
		TEST(news_of_strangers_are_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
