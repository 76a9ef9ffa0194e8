#include "server/base/arena.h"
#include "server/http/request.h"
#include "server/http/router.h"
#include "tests/support/support.h"

#include <string.h>

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, 4096);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_release(&arena);
	return 0;
}

static void assert_route(const char *path, const char *route, const char *name, const char *last)
{
	struct route_match match;
	const struct route *found = router_match(routes, route_count, path, &arena, &match);

	if (!found)
		fail_msg("no route for %s", path);
	assert_ptr_equal(found, match.route);
	assert_string_equal(found->name, route);
	assert_string_equal(match.name, name);
	assert_string_equal(match.last, last);
}

static void knows_the_api(void **state)
{
	(void)state;
	assert_route("/v2/", "base", "", "");
	assert_route("/v2", "base", "", "");
	assert_route("/v2/alpine/manifests/latest", "manifest", "alpine", "latest");
	assert_route("/v2/a/b/c/manifests/sha256:ab", "manifest", "a/b/c", "sha256:ab");
	assert_route("/v2/a/blobs/sha256:ab", "blob", "a", "sha256:ab");
	assert_route("/v2/a/b/tags/list", "tags", "a/b", "");
	assert_route("/v2/a/referrers/sha256:ab", "referrers", "a", "sha256:ab");
	assert_route("/v2/a/blobs/uploads/", "blob-upload", "a", "");
	assert_route("/v2/a/blobs/uploads/1234", "blob-upload", "a", "1234");
}

static void names_may_contain_keywords(void **state)
{
	(void)state;
	assert_route("/v2/a/manifests/b/manifests/latest", "manifest", "a/manifests/b", "latest");
	assert_route("/v2/manifests/manifests/manifests", "manifest", "manifests", "manifests");
	assert_route("/v2/blobs/blobs/sha256:ab", "blob", "blobs", "sha256:ab");
	assert_route("/v2/tags/list/tags/list", "tags", "tags/list", "");
	assert_route("/v2/a/blobs/uploads/manifests/1", "manifest", "a/blobs/uploads", "1");
	assert_route("/v2/a/tags/list/manifests/1", "manifest", "a/tags/list", "1");
}

static void knows_nothing_else(void **state)
{
	static const char *const paths[] = {"/",
					    "/v1/",
					    "/v2x",
					    "/v2/alpine",
					    "/v2/manifests/1",
					    "/v2/tags/list",
					    "/v2/a/tags",
					    "/v2/a/tags/list/",
					    "/v2/a/tags/listing",
					    "/v2/a/xmanifests/1",
					    "/v2/a/manifests",
					    "/v2/_catalog",
					    "/metrics",
					    "/v2/a/manifests/1/2",
					    "/v3/a/manifests/1",
					    "/v2//"};
	struct route_match match = {.name = "untouched"};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (router_match(routes, route_count, paths[i], &arena, &match))
			fail_msg("%s has a route", paths[i]);
	}
	assert_string_equal(match.name, "untouched");
}

static void nothing_but_reading_is_allowed(void **state)
{
	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		assert_int_equal(routes[i].methods & ~(unsigned)(METHOD_GET | METHOD_HEAD), 0);
		assert_true(routes[i].methods == 0 || routes[i].handle);
	}
}

static void a_full_arena_is_no_match(void **state)
{
	struct route_match match;
	struct arena tiny;

	(void)state;
	arena_init(&tiny, 1);
	assert_null(router_match(routes, route_count, "/v2/a/manifests/1", &tiny, &match));
	assert_true(tiny.overflow);
	arena_release(&tiny);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(knows_the_api, setup, teardown),
		cmocka_unit_test_setup_teardown(names_may_contain_keywords, setup, teardown),
		cmocka_unit_test_setup_teardown(knows_nothing_else, setup, teardown),
		cmocka_unit_test(nothing_but_reading_is_allowed),
		cmocka_unit_test(a_full_arena_is_no_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
