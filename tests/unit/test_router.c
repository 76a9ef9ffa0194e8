#include "server/base/arena.h"
#include "server/base/buf.h"
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
	assert_route("/v2/a/blobs/uploads", "blob-upload", "a", "");
	assert_route("/v2/a/blobs/uploads/1234", "blob-upload-chunk", "a", "1234");
	assert_route("/v2/_catalog", "catalog", "", "");
	assert_route("/v2/_catalog/", "catalog", "", "");
}

static void names_may_contain_keywords(void **state)
{
	(void)state;
	assert_route("/v2/a/manifests/b/manifests/latest", "manifest", "a/manifests/b", "latest");
	assert_route("/v2/manifests/manifests/manifests", "manifest", "manifests", "manifests");
	assert_route("/v2/blobs/blobs/sha256:ab", "blob", "blobs", "sha256:ab");
	assert_route("/v2/tags/list/tags/list", "tags", "tags/list", "");
	assert_route("/v2/blobs/uploads/blobs/uploads/", "blob-upload", "blobs/uploads", "");
	assert_route("/v2/blobs/uploads/blobs/uploads/1", "blob-upload-chunk", "blobs/uploads",
		     "1");
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
					    "/v2/_catalog/x",
					    "/v2/a/_catalog",
					    "/v2/blobs/uploads/1/",
					    "/v2/a/blobs/uploads//",
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

static void assert_methods(const char *path, const char *expected)
{
	struct buf allow = BUF_INIT((size_t)128);
	struct route_match match;
	const struct route *route = router_match(routes, route_count, path, &arena, &match);

	assert_non_null(route);
	request_format_methods(route_methods(route), &allow);
	assert_string_equal(buf_string(&allow), expected);
	buf_release(&allow);
}

static void each_route_says_what_it_takes(void **state)
{
	(void)state;
	assert_methods("/v2/", "GET, HEAD");
	assert_methods("/v2/_catalog", "GET, HEAD");
	assert_methods("/v2/a/manifests/1", "GET, HEAD, PUT, DELETE");
	assert_methods("/v2/a/blobs/sha256:ab", "GET, HEAD, DELETE");
	assert_methods("/v2/a/blobs/uploads/", "POST");
	assert_methods("/v2/a/blobs/uploads/1", "GET, HEAD, PUT, PATCH, DELETE");
	assert_methods("/v2/a/tags/list", "GET, HEAD");
	assert_methods("/v2/a/referrers/sha256:ab", "GET, HEAD");
}

static void each_method_has_one_answer(void **state)
{
	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		unsigned seen = 0;

		for (size_t j = 0; j < ROUTE_MAX_ACTIONS; j++) {
			const struct route_action *action = &routes[i].actions[j];

			assert_int_equal(seen & action->methods, 0);
			seen |= action->methods;
			assert_int_equal(action->methods != 0, action->handle != NULL);
		}
		/* one that hides from who may not use it answers everything alike */
		if (routes[i].kind == ROUTE_BELOW)
			continue;
		assert_null(route_action_for(&routes[i], METHOD_OTHER));
		assert_null(route_action_for(&routes[i], METHOD_OPTIONS));
	}
}

static void what_is_below_a_path_is_its_last(void **state)
{
	struct route_match match;
	struct arena own;

	(void)state;
	arena_init(&own, 4096);
	assert_non_null(
		router_match(routes, route_count, "/cluster/v1/fills/sha256:ab", &own, &match));
	assert_string_equal(match.route->name, "replica");
	assert_string_equal(match.last, "sha256:ab");
	assert_string_equal(match.name, "");
	assert_null(router_match(routes, route_count, "/cluster/v1/fills", &own, &match));
	arena_release(&own);
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
		cmocka_unit_test_setup_teardown(each_route_says_what_it_takes, setup, teardown),
		cmocka_unit_test(each_method_has_one_answer),
		cmocka_unit_test(what_is_below_a_path_is_its_last),
		cmocka_unit_test(a_full_arena_is_no_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
