/*
 * Which copy of a manifest is served, and when the upstream is asked.
 */
#include "server/content/keys.h"
#include "tests/support/cache_world.h"

struct scene {
	struct world *world;
	struct digest config, layer;
	struct digest one, two;
	char *first, *second; /* two versions of one image */
};

static int make(void **state)
{
	struct scene *scene = xcalloc(1, sizeof(*scene));

	scene->world = world_new();
	scene->world->upstreams[0].prefetch_layers = false;
	free(some_bytes(10, 1, &scene->config));
	free(some_bytes(20, 2, &scene->layer));
	scene->first = image_of(&scene->config, 10, &scene->layer, 20, &scene->one);
	scene->second = image_of(&scene->config, 10, &scene->layer, 21, &scene->two);
	*state = scene;
	return 0;
}

static int forget(void **state)
{
	struct scene *scene = *state;

	world_free(scene->world);
	free(scene->first);
	free(scene->second);
	free(scene);
	return 0;
}

static void answer(const char *reference, struct fake_reply reply)
{
	if (reply.body && !reply.media_type)
		reply.media_type = MEDIA_OCI_MANIFEST;
	fake_answer(FAKE_MANIFEST, "a.test", "team/app", reference, reply);
}

static void answer_body(const char *reference, const char *body)
{
	answer(reference, (struct fake_reply){.body = body});
}

static void answer_status(const char *reference, enum status status, int http_status)
{
	answer(reference, (struct fake_reply){.status = status, .http_status = http_status});
}

static unsigned gets(const char *reference)
{
	return fake_asked(FAKE_MANIFEST, "a.test", "team/app", reference).gets;
}

static unsigned heads(const char *reference)
{
	return fake_asked(FAKE_MANIFEST, "a.test", "team/app", reference).heads;
}

static enum status pull(struct scene *scene, const char *text, const char *body,
			enum cache_verdict *ret_verdict, struct error *error)
{
	struct reference reference;
	struct manifest_view *view = NULL;
	enum status status;

	assert_true(reference_parse(text, strlen(text), &reference));
	status = cache_get_manifest(scene->world->cache, &scene->world->a, &reference, true, &view,
				    ret_verdict, error);
	if (status != BW_OK) {
		assert_null(view);
		return status;
	}
	assert_int_equal(view->body_length, strlen(body));
	assert_memory_equal(view->body, body, view->body_length);
	assert_string_equal(view->media_type, MEDIA_OCI_MANIFEST);
	manifest_view_unref(view);
	return BW_OK;
}

static void assert_pulls(struct scene *scene, const char *text, const char *body,
			 enum cache_verdict expected)
{
	enum cache_verdict verdict = (enum cache_verdict) - 1;
	struct error error = {0};

	assert_int_equal(pull(scene, text, body, &verdict, &error), BW_OK);
	assert_int_equal(verdict, expected);
	assert_int_equal(error.code, BW_OK);
}

static enum status pull_fails(struct scene *scene, const char *text, struct error *error)
{
	enum cache_verdict verdict;

	return pull(scene, text, "", &verdict, error);
}

static void expire(struct scene *scene)
{
	scene->world->upstreams[0].manifest_ttl_ms = 0;
}

static void restart(struct scene *scene)
{
	world_stop(scene->world);
	world_start(scene->world);
}

/* ---- fresh ---- */

static void a_tag_is_fetched_and_then_served(void **state)
{
	struct scene *scene = *state;

	answer_body("latest", scene->first);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	assert_pulls(scene, "latest", scene->first, CACHE_HIT);
	restart(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_HIT);
	assert_int_equal(gets("latest"), 1);
	assert_int_equal(heads("latest"), 0);
}

static void a_digest_never_expires(void **state)
{
	struct scene *scene = *state;
	char digest[DIGEST_TEXT_SIZE];

	digest_format(&scene->one, digest);
	answer_body(digest, scene->first);
	expire(scene);
	assert_pulls(scene, digest, scene->first, CACHE_MISS);
	assert_pulls(scene, digest, scene->first, CACHE_HIT);
	restart(scene);
	answer_status(digest, BW_UNREACHABLE, 0);
	assert_pulls(scene, digest, scene->first, CACHE_HIT);
	assert_int_equal(gets(digest), 1);
	assert_int_equal(heads(digest), 0);
}

static void a_tags_manifest_can_be_had_by_digest(void **state)
{
	struct scene *scene = *state;
	char digest[DIGEST_TEXT_SIZE];

	digest_format(&scene->one, digest);
	answer_body("latest", scene->first);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	assert_pulls(scene, digest, scene->first, CACHE_HIT);
}

/* What one repository may read says nothing about another. */
static void a_stored_manifest_is_its_repositorys_alone(void **state)
{
	struct scene *scene = *state;
	struct manifest_view *view = NULL;
	enum cache_verdict verdict;
	struct reference reference;

	answer_body("latest", scene->first);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	reference_from_digest(&scene->one, &reference);
	assert_int_equal(cache_get_manifest(scene->world->cache, &scene->world->b, &reference,
					    false, &view, &verdict, NULL),
			 BW_ABSENT);
	assert_null(view);
}

static void a_tags_own_time_counts(void **state)
{
	struct scene *scene = *state;
	char pattern[] = "v*";
	struct tag_ttl ttl = {.tags = pattern, .ttl_ms = HOUR_MS};

	scene->world->upstreams[0].tag_ttls = &ttl;
	scene->world->upstreams[0].tag_ttl_count = 1;
	expire(scene);
	answer_body("v1", scene->first);
	answer_body("latest", scene->first);
	assert_pulls(scene, "v1", scene->first, CACHE_MISS);
	assert_pulls(scene, "v1", scene->first, CACHE_HIT);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	assert_pulls(scene, "latest", scene->first, CACHE_REVALIDATED);
}

/* ---- expired ---- */

static void an_expired_tag_costs_a_head(void **state)
{
	struct scene *scene = *state;

	answer_body("latest", scene->first);
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	assert_pulls(scene, "latest", scene->first, CACHE_REVALIDATED);
	assert_pulls(scene, "latest", scene->first, CACHE_REVALIDATED);
	assert_int_equal(gets("latest"), 1);
	assert_int_equal(heads("latest"), 2);
}

static void a_confirmed_tag_is_fresh_again(void **state)
{
	struct scene *scene = *state;

	answer_body("latest", scene->first);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	world_lose_index(scene->world); /* nobody knows when it was validated */
	assert_pulls(scene, "latest", scene->first, CACHE_REVALIDATED);
	assert_pulls(scene, "latest", scene->first, CACHE_HIT);
	restart(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_HIT);
	assert_int_equal(heads("latest"), 1);
}

static void a_tag_that_moved_is_followed(void **state)
{
	struct scene *scene = *state;

	answer_body("latest", scene->first);
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	answer_body("latest", scene->second);
	assert_pulls(scene, "latest", scene->second, CACHE_MISS);
	restart(scene);
	assert_pulls(scene, "latest", scene->second, CACHE_REVALIDATED);
	assert_int_equal(gets("latest"), 2);
}

static void a_tag_that_moved_back_costs_no_get(void **state)
{
	struct scene *scene = *state;

	answer_body("latest", scene->first);
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	answer_body("latest", scene->second);
	assert_pulls(scene, "latest", scene->second, CACHE_MISS);
	answer_body("latest", scene->first);
	assert_pulls(scene, "latest", scene->first, CACHE_REVALIDATED);
	assert_int_equal(gets("latest"), 2);
	restart(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_REVALIDATED);
}

static void an_upstream_without_heads_is_asked_with_get(void **state)
{
	struct scene *scene = *state;
	struct fake_reply reply = {.body = scene->first, .head_status = BW_UNSUPPORTED};

	answer("latest", reply);
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	reply.body = scene->second;
	answer("latest", reply);
	assert_pulls(scene, "latest", scene->second, CACHE_MISS);
}

/* ---- outages ---- */

static void an_outage_is_served_stale(void **state)
{
	static const struct {
		enum status status;
		int http_status;
	} outages[] = {{BW_UNREACHABLE, 0},   {BW_UNREACHABLE, 503}, {BW_TIMEOUT, 0},
		       {BW_UNAVAILABLE, 429}, {BW_UNAVAILABLE, 0},   {BW_CORRUPT, 0}};
	struct scene *scene = *state;

	answer_body("latest", scene->first);
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	for (size_t i = 0; i < array_size(outages); i++) {
		answer_status("latest", outages[i].status, outages[i].http_status);
		assert_pulls(scene, "latest", scene->first, CACHE_STALE);
	}
	restart(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_STALE);
	world_lose_index(scene->world);
	assert_pulls(scene, "latest", scene->first, CACHE_STALE);
	answer_body("latest", scene->first);
	assert_pulls(scene, "latest", scene->first, CACHE_REVALIDATED);
}

/* Docker Hub answers HEADs for nothing and then says 429 to the GET. */
static void a_tag_that_moved_behind_a_limit_is_served_stale(void **state)
{
	struct scene *scene = *state;

	answer("latest", (struct fake_reply){.body = scene->first});
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	answer("latest", (struct fake_reply){.body = scene->second,
					     .get_status = BW_UNAVAILABLE,
					     .http_status = 429});
	assert_pulls(scene, "latest", scene->first, CACHE_STALE);
	assert_int_equal(gets("latest"), 2);
}

static void only_the_reasons_configured_are_served_stale(void **state)
{
	struct scene *scene = *state;
	struct error error = {0};

	scene->world->upstreams[0].stale_on = STALE_ON_429;
	answer_body("latest", scene->first);
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	answer_status("latest", BW_UNREACHABLE, 502);
	assert_int_equal(pull_fails(scene, "latest", &error), BW_UNREACHABLE);
	assert_int_equal(error.http_status, 502);
	answer_status("latest", BW_UNAVAILABLE, 429);
	assert_pulls(scene, "latest", scene->first, CACHE_STALE);
}

static void with_nothing_stored_an_outage_is_told(void **state)
{
	struct scene *scene = *state;
	struct error error = {0};

	answer_status("latest", BW_UNAVAILABLE, 429);
	assert_int_equal(pull_fails(scene, "latest", &error), BW_UNAVAILABLE);
	assert_int_equal(error.code, BW_UNAVAILABLE);
	assert_int_equal(error.http_status, 429);
	assert_non_null(strstr(error.message, "a.test"));
	answer_status("latest", BW_TIMEOUT, 0);
	assert_int_equal(pull_fails(scene, "latest", &error), BW_TIMEOUT);
	/* a failure is not an absence, and is not remembered as one */
	answer_body("latest", scene->first);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
}

static void a_refusal_is_never_served_stale(void **state)
{
	struct scene *scene = *state;
	struct error error = {0};

	answer_body("latest", scene->first);
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	answer_status("latest", BW_DENIED, 401);
	assert_int_equal(pull_fails(scene, "latest", &error), BW_DENIED);
	assert_int_equal(error.http_status, 401);
	/* nor has the copy gone: the credential may come back */
	answer_status("latest", BW_UNREACHABLE, 0);
	assert_pulls(scene, "latest", scene->first, CACHE_STALE);
}

static void a_deleted_tag_does_not_come_back(void **state)
{
	struct scene *scene = *state;
	char digest[DIGEST_TEXT_SIZE];

	digest_format(&scene->one, digest);
	scene->world->upstreams[0].negative_ttl_ms = 0;
	answer_body("latest", scene->first);
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	answer_status("latest", BW_ABSENT, 404);
	assert_int_equal(pull_fails(scene, "latest", NULL), BW_ABSENT);

	answer_status("latest", BW_UNREACHABLE, 0);
	assert_int_equal(pull_fails(scene, "latest", NULL), BW_UNREACHABLE);
	restart(scene);
	assert_int_equal(pull_fails(scene, "latest", NULL), BW_UNREACHABLE);
	world_lose_index(scene->world);
	assert_int_equal(pull_fails(scene, "latest", NULL), BW_UNREACHABLE);
	/* who runs it by digest goes on running it */
	assert_pulls(scene, digest, scene->first, CACHE_HIT);
	/* and the tag may be pushed again */
	answer_body("latest", scene->second);
	assert_pulls(scene, "latest", scene->second, CACHE_MISS);
	restart(scene);
	answer_status("latest", BW_UNREACHABLE, 0);
	assert_pulls(scene, "latest", scene->second, CACHE_STALE);
}

static void a_tag_deleted_before_its_get_is_deleted(void **state)
{
	struct scene *scene = *state;

	scene->world->upstreams[0].negative_ttl_ms = 0;
	answer_body("latest", scene->first);
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	answer("latest", (struct fake_reply){.body = scene->second,
					     .get_status = BW_ABSENT,
					     .http_status = 404});
	assert_int_equal(pull_fails(scene, "latest", NULL), BW_ABSENT);
	answer_status("latest", BW_UNREACHABLE, 0);
	assert_int_equal(pull_fails(scene, "latest", NULL), BW_UNREACHABLE);
}

/* ---- absence ---- */

static void absence_is_remembered_for_a_while(void **state)
{
	struct scene *scene = *state;
	struct error error = {0};
	char digest[DIGEST_TEXT_SIZE];

	digest_format(&scene->one, digest);
	answer_status("typo", BW_ABSENT, 404);
	answer_status(digest, BW_ABSENT, 404);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(pull_fails(scene, "typo", &error), BW_ABSENT);
		assert_non_null(strstr(error.message, "a.test"));
		assert_int_equal(pull_fails(scene, digest, &error), BW_ABSENT);
	}
	assert_int_equal(gets("typo"), 1);
	assert_int_equal(gets(digest), 1);
}

static void absence_may_be_asked_for_each_time(void **state)
{
	struct scene *scene = *state;

	scene->world->upstreams[0].negative_ttl_ms = 0;
	answer_status("typo", BW_ABSENT, 404);
	assert_int_equal(pull_fails(scene, "typo", NULL), BW_ABSENT);
	answer_body("typo", scene->first);
	assert_pulls(scene, "typo", scene->first, CACHE_MISS);
}

/* ---- what comes is looked at ---- */

static void what_is_no_manifest_is_not_served(void **state)
{
	static const char *const bodies[] = {
		"<html>please log in</html>",
		"",
		"{}",
		"{\"schemaVersion\":1,\"fsLayers\":[]}",
		"{\"schemaVersion\":2,\"manifests\":[],\"layers\":[],\"config\":{}}",
	};
	struct scene *scene = *state;

	for (size_t i = 0; i < array_size(bodies); i++) {
		struct error error = {0};

		answer_body("latest", bodies[i]);
		assert_int_equal(pull_fails(scene, "latest", &error), BW_UNREACHABLE);
		assert_int_equal(error.code, BW_UNREACHABLE);
		assert_non_null(strstr(error.message, "a.test"));
		assert_null(strstr(error.message, ": : "));
	}
	assert_int_equal(objects_under(scene->world, ""), 0);
}

/* The same during an outage of sorts: a captive portal in front of it all. */
static void a_login_page_does_not_replace_the_copy(void **state)
{
	struct scene *scene = *state;

	answer_body("latest", scene->first);
	expire(scene);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	answer_body("latest", "<html>please log in</html>");
	assert_pulls(scene, "latest", scene->first, CACHE_STALE);
}

/* ---- our own stores ---- */

static void what_cannot_be_stored_is_served(void **state)
{
	struct scene *scene = *state;

	answer_body("latest", scene->first);
	make_fail(&scene->world->object_faults, NULL, BW_NO_SPACE);
	make_fail(&scene->world->metadata_faults, NULL, BW_UNAVAILABLE);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	assert_pulls(scene, "latest", scene->first, CACHE_HIT);
	assert_int_equal(gets("latest"), 1);
}

static void stores_that_cannot_tell_are_not_absence(void **state)
{
	struct scene *scene = *state;
	struct error error = {0};

	answer_body("latest", scene->first);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	restart(scene);
	make_fail(&scene->world->object_faults, NULL, BW_IO);
	make_fail(&scene->world->metadata_faults, NULL, BW_UNAVAILABLE);
	answer_status("latest", BW_UNREACHABLE, 0);
	assert_int_equal(pull_fails(scene, "latest", &error), BW_UNREACHABLE);
	answer_body("latest", scene->first);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
}

static void an_index_that_is_down_costs_no_request(void **state)
{
	struct scene *scene = *state;
	char digest[DIGEST_TEXT_SIZE];

	digest_format(&scene->one, digest);
	answer_body("latest", scene->first);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	restart(scene);
	make_fail(&scene->world->metadata_faults, NULL, BW_UNAVAILABLE);
	assert_pulls(scene, digest, scene->first, CACHE_HIT);
	answer_status("latest", BW_UNREACHABLE, 0);
	assert_pulls(scene, "latest", scene->first, CACHE_STALE);
}

static void a_damaged_copy_is_fetched_again(void **state)
{
	struct scene *scene = *state;
	char digest[DIGEST_TEXT_SIZE], key[KEY_SIZE];

	digest_format(&scene->one, digest);
	answer_body(digest, scene->first);
	assert_pulls(scene, digest, scene->first, CACHE_MISS);
	key_of_blob(key, &scene->one);
	assert_int_equal(object_put(scene->world->objects, key, "bad", 3, PUT_REPLACE, NULL),
			 BW_OK);
	world_lose_index(scene->world);
	assert_pulls(scene, digest, scene->first, CACHE_MISS);
	world_lose_index(scene->world);
	assert_pulls(scene, digest, scene->first, CACHE_HIT);
}

/* Another process wrote the tag while we were fetching it: what it wrote is
 * what the next one gets. */
static void another_process_that_wrote_later_wins(void **state)
{
	struct scene *scene = *state;
	struct content *other = content_new(scene->world->objects, scene->world->metadata);
	struct tag_entry later = {.digest = scene->two,
				  .version = content_version(other) + 3600 * UINT64_C(1000000),
				  .stored_at = 1,
				  .validated_at = clock_wall_ms()};
	char digest[DIGEST_TEXT_SIZE];

	digest_format(&scene->two, digest);
	answer_body(digest, scene->second);
	assert_pulls(scene, digest, scene->second, CACHE_MISS);
	answer_body("latest", scene->first);
	/* the index fails this once, so that our process sees nothing of it */
	assert_int_equal(content_put_tag(other, "a.test/team/app", "latest", &later, NULL), BW_OK);
	make_fail(&scene->world->metadata_faults, "get_tag", BW_UNAVAILABLE);
	make_fail(&scene->world->object_faults, "list", BW_UNAVAILABLE);
	assert_pulls(scene, "latest", scene->first, CACHE_MISS);
	make_fail(&scene->world->metadata_faults, NULL, BW_OK);
	make_fail(&scene->world->object_faults, NULL, BW_OK);
	assert_pulls(scene, "latest", scene->second, CACHE_HIT);
	content_free(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_tag_is_fetched_and_then_served),
		TEST(a_digest_never_expires),
		TEST(a_tags_manifest_can_be_had_by_digest),
		TEST(a_stored_manifest_is_its_repositorys_alone),
		TEST(a_tags_own_time_counts),
		TEST(an_expired_tag_costs_a_head),
		TEST(a_confirmed_tag_is_fresh_again),
		TEST(a_tag_that_moved_is_followed),
		TEST(a_tag_that_moved_back_costs_no_get),
		TEST(an_upstream_without_heads_is_asked_with_get),
		TEST(an_outage_is_served_stale),
		TEST(a_tag_that_moved_behind_a_limit_is_served_stale),
		TEST(only_the_reasons_configured_are_served_stale),
		TEST(with_nothing_stored_an_outage_is_told),
		TEST(a_refusal_is_never_served_stale),
		TEST(a_deleted_tag_does_not_come_back),
		TEST(a_tag_deleted_before_its_get_is_deleted),
		TEST(absence_is_remembered_for_a_while),
		TEST(absence_may_be_asked_for_each_time),
		TEST(what_is_no_manifest_is_not_served),
		TEST(a_login_page_does_not_replace_the_copy),
		TEST(what_cannot_be_stored_is_served),
		TEST(stores_that_cannot_tell_are_not_absence),
		TEST(an_index_that_is_down_costs_no_request),
		TEST(a_damaged_copy_is_fetched_again),
		TEST(another_process_that_wrote_later_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
