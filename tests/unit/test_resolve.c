/*
 * Which repository a request means.
 */
#include "server/registry/push.h"
#include "tests/support/push_world.h"

static char *hub_aliases[] = {(char[]){"index.docker.io"}, (char[]){"registry-1.docker.io"}};
static char *ghcr_deny[] = {(char[]){"secret/**"}};
static struct upstream_config upstreams[] = {
	{.name = (char[]){"docker.io"}, .aliases = {.items = hub_aliases, .count = 2}},
	{.name = (char[]){"ghcr.io"}, .deny = {.items = ghcr_deny, .count = 1}},
	{.name = (char[]){"localhost:5001"}},
};
static char no_default[] = "", hub_default[] = "docker.io";
static struct config config;
static struct world *world;
static struct registry *registry;

static void begin(const char *default_upstream)
{
	config.proxy.upstreams = upstreams;
	config.proxy.upstream_count = array_size(upstreams);
	config.proxy.default_upstream = (char *)(uintptr_t)default_upstream;
	world = world_new();
	registry = registry_new(world->content, world->cache, &config);
}

static int make(void **state)
{
	(void)state;
	begin(hub_default);
	return 0;
}

static int make_without_default(void **state)
{
	(void)state;
	begin(no_default);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	registry_free(registry);
	world_free(world);
	return 0;
}

typedef bool (*resolve_fn)(struct registry *registry, const char *name, const char *ns,
			   const char *host, struct target *ret_target,
			   struct api_failure *failure);

/* "upstream repository", "local repository", or "status CODE". */
static char *resolve_by(resolve_fn fn, const char *name, const char *ns, const char *host)
{
	struct api_failure failure = {0};
	struct target target;
	char *answer, *stored;

	if (!fn(registry, name, ns, host, &target, &failure)) {
		assert_string_not_equal(failure.message, "");
		return xasprintf("%d %s", failure.http_status, api_code_name(failure.code));
	}
	assert_non_null(target.set);
	if (!target.upstream) {
		assert_null(target_namespace(&target));
		assert_string_equal(target.stored, name);
		assert_string_equal(target.repository, name);
		target_release(&target);
		return xasprintf("local %s", name);
	}
	answer = xasprintf("%s %s", target_namespace(&target), target.repository);
	stored = xasprintf("%s/%s", target_namespace(&target), target.repository);
	assert_string_equal(target.stored, stored);
	assert_int_equal(target.by_ns, ns && *ns);
	free(stored);
	target_release(&target);
	return answer;
}

static char *resolve(const char *name, const char *ns, const char *host)
{
	return resolve_by(registry_resolve, name, ns, host);
}

#define assert_pushes_to(name, ns, host, expected) \
	do { \
		char *answer_ = resolve_by(registry_resolve_push, name, ns, host); \
		assert_string_equal(answer_, expected); \
		free(answer_); \
	} while (0)

#define assert_resolves(name, ns, host, expected) \
	do { \
		char *answer_ = resolve(name, ns, host); \
		assert_string_equal(answer_, expected); \
		free(answer_); \
	} while (0)

static void ns_names_the_upstream(void **state)
{
	(void)state;
	assert_resolves("acme/app", "ghcr.io", NULL, "ghcr.io acme/app");
	assert_resolves("library/alpine", "docker.io", "ghcr.io", "docker.io library/alpine");
	assert_resolves("library/alpine", "registry-1.docker.io", NULL, "docker.io library/alpine");
	assert_resolves("library/alpine", "Docker.IO", NULL, "docker.io library/alpine");
	assert_resolves("acme/app", "localhost:5001", NULL, "localhost:5001 acme/app");
}

/* containerd's hosts.toml with a path in the host's URL. */
static void ns_does_not_prefix_twice(void **state)
{
	(void)state;
	assert_resolves("docker.io/library/alpine", "docker.io", NULL, "docker.io library/alpine");
	assert_resolves("index.docker.io/library/alpine", "docker.io", NULL,
			"docker.io library/alpine");
	/* another's prefix is part of the name */
	assert_resolves("ghcr.io/acme/app", "docker.io", NULL, "docker.io ghcr.io/acme/app");
}

/* A list that is closed: nothing a client says is ever dialled. */
static void an_unknown_ns_is_not_found(void **state)
{
	static const char *const names[] = {
		"evil.test",           "169.254.169.254", "localhost:5002",         "docker.io/..",
		"docker.io.evil.test", "docker.io:443",   "http://docker.io",       "docker.io ",
		"user@docker.io",      "[::1]",           "docker.io%00.evil.test", "\xff",
	};

	(void)state;
	for (size_t i = 0; i < array_size(names); i++)
		assert_resolves("library/alpine", names[i], NULL, "404 NAME_UNKNOWN");
}

static void no_ns_at_all_is_as_good_as_an_empty_one(void **state)
{
	(void)state;
	assert_resolves("ghcr.io/acme/app", "", NULL, "ghcr.io acme/app");
}

static void host_names_the_upstream(void **state)
{
	(void)state;
	assert_resolves("acme/app", NULL, "ghcr.io", "ghcr.io acme/app");
	assert_resolves("acme/app", NULL, "GHCR.io:8443", "ghcr.io acme/app");
	assert_resolves("acme/app", NULL, "localhost:5001", "localhost:5001 acme/app");
	/* our own address names nobody */
	assert_resolves("ghcr.io/acme/app", NULL, "mirror.test:5000", "ghcr.io acme/app");
	assert_resolves("ghcr.io/acme/app", NULL, "", "ghcr.io acme/app");
	assert_resolves("ghcr.io/acme/app", NULL, ":", "ghcr.io acme/app");
	assert_resolves("ghcr.io/acme/app", NULL, "[::1]:5000", "ghcr.io acme/app");
}

static void a_prefix_names_the_upstream(void **state)
{
	(void)state;
	assert_resolves("docker.io/library/alpine", NULL, NULL, "docker.io library/alpine");
	assert_resolves("index.docker.io/grafana/loki", NULL, NULL, "docker.io grafana/loki");
	assert_resolves("ghcr.io/acme/app/sub", NULL, NULL, "ghcr.io acme/app/sub");
}

static void a_bare_name_is_the_defaults(void **state)
{
	(void)state;
	assert_resolves("library/alpine", NULL, NULL, "docker.io library/alpine");
	assert_resolves("quay.io/x/y", NULL, NULL, "docker.io quay.io/x/y");
}

/* ...which has nothing: what is asked of it is not found. */
static void without_a_default_a_bare_name_is_local(void **state)
{
	(void)state;
	assert_resolves("library/alpine", NULL, NULL, "local library/alpine");
	assert_resolves("alpine", NULL, NULL, "local alpine");
	assert_resolves("ghcr.io", NULL, NULL, "local ghcr.io");
	/* but a name that reads like a registry's never is */
	assert_resolves("quay.io/x/y", NULL, NULL, "404 NAME_UNKNOWN");
	assert_resolves("localhost/x", NULL, NULL, "404 NAME_UNKNOWN");
	assert_resolves("A/b", NULL, NULL, "400 NAME_INVALID");
}

static void push_something(const char *repository)
{
	struct digest digest;

	free(some_bytes(0, 1, &digest));
	assert_int_equal(content_push_blob(world->content, repository, &digest, 0,
					   "00112233445566778899aabbccddeeff", NULL, 0, NULL),
			 BW_OK);
}

static void what_was_pushed_comes_before_the_default(void **state)
{
	(void)state;
	push_something("team/app");
	push_something("alpine");
	assert_resolves("team/app", NULL, NULL, "local team/app");
	assert_resolves("alpine", NULL, NULL, "local alpine");
	assert_resolves("team/app/sub", NULL, NULL, "docker.io team/app/sub");
	assert_resolves("team", NULL, NULL, "docker.io library/team");
	/* ...but after what names an upstream */
	assert_resolves("team/app", "ghcr.io", NULL, "ghcr.io team/app");
	assert_resolves("team/app", NULL, "ghcr.io", "ghcr.io team/app");
	assert_resolves("ghcr.io/team/app", NULL, NULL, "ghcr.io team/app");
}

static void stores_that_cannot_tell_are_neither(void **state)
{
	(void)state;
	make_fail(&world->object_faults, NULL, BW_IO);
	make_fail(&world->metadata_faults, NULL, BW_IO);
	assert_resolves("team/app", NULL, NULL, "503 UNAVAILABLE");
	assert_resolves("ghcr.io/team/app", NULL, NULL, "ghcr.io team/app");
	make_fail(&world->object_faults, NULL, BW_OK);
	make_fail(&world->metadata_faults, NULL, BW_OK);
}

/* Whoever reads from an upstream's namespace gets what the upstream has. */
static void nobody_pushes_to_an_upstream(void **state)
{
	(void)state;
	assert_pushes_to("team/app", NULL, NULL, "local team/app");
	assert_pushes_to("alpine", NULL, "registry.test:5000", "local alpine");
	assert_pushes_to("team/app", "", "", "local team/app");
	assert_pushes_to("team/app", "ghcr.io", NULL, "403 DENIED");
	assert_pushes_to("team/app", "elsewhere.test", NULL, "403 DENIED");
	assert_pushes_to("team/app", NULL, "ghcr.io", "403 DENIED");
	assert_pushes_to("team/app", NULL, "GHCR.io:443", "403 DENIED");
	assert_pushes_to("ghcr.io/team/app", NULL, NULL, "403 DENIED");
	assert_pushes_to("index.docker.io/team/app", NULL, NULL, "403 DENIED");
	assert_pushes_to("localhost:5001/team/app", NULL, NULL, "403 DENIED");
	/* an upstream that is not configured yet */
	assert_pushes_to("quay.io/team/app", NULL, NULL, "403 DENIED");
	assert_pushes_to("localhost/app", NULL, NULL, "403 DENIED");
	assert_pushes_to("Team/app", NULL, NULL, "400 NAME_INVALID");
	assert_pushes_to("", NULL, NULL, "400 NAME_INVALID");
	assert_pushes_to("a/../b", NULL, NULL, "400 NAME_INVALID");
}

static void a_short_name_is_an_official_image(void **state)
{
	(void)state;
	assert_resolves("alpine", NULL, NULL, "docker.io library/alpine");
	assert_resolves("docker.io/alpine", NULL, NULL, "docker.io library/alpine");
	assert_resolves("alpine", "docker.io", NULL, "docker.io library/alpine");
	/* of Docker Hub alone */
	assert_resolves("app", "ghcr.io", NULL, "ghcr.io app");
}

static void a_name_that_is_none_is_refused(void **state)
{
	static const char *const names[] = {
		"",           "/",       "a//b",     "a/",         "/a",    "A/b",
		"a/../b",     "..",      "a/./b",    "a b",        "a/b\n", "a/_manifests/x",
		"docker.io/", "a/b%2fc", "a:5000/b", "\xc3\xa4/b", "a\\b",
	};
	char longest[300];

	(void)state;
	for (size_t i = 0; i < array_size(names); i++) {
		assert_resolves(names[i], NULL, NULL, "400 NAME_INVALID");
		assert_resolves(names[i], "ghcr.io", NULL, "400 NAME_INVALID");
	}
	memset(longest, 'a', sizeof(longest));
	longest[255] = '\0';
	free(resolve(longest, "ghcr.io", NULL));
	assert_resolves(longest, "docker.io", NULL, "400 NAME_INVALID"); /* library/ and it */
	longest[255] = 'a';
	longest[256] = '\0';
	assert_resolves(longest, "ghcr.io", NULL, "400 NAME_INVALID");
}

static void what_is_denied_is_denied_by_every_name(void **state)
{
	(void)state;
	assert_resolves("secret/app", "ghcr.io", NULL, "403 DENIED");
	assert_resolves("ghcr.io/secret/app", NULL, NULL, "403 DENIED");
	assert_resolves("secret/app", NULL, "ghcr.io", "403 DENIED");
	assert_resolves("ghcr.io/secret/app", "ghcr.io", NULL, "403 DENIED");
	assert_resolves("GHCR.IO/secret/app", NULL, NULL, "403 DENIED");
	assert_resolves("secret/app", "docker.io", NULL, "docker.io secret/app");
}

static void a_reload_changes_what_is_known(void **state)
{
	struct config smaller = config;
	struct api_failure failure;
	struct target before;

	(void)state;
	assert_true(registry_resolve(registry, "acme/app", "ghcr.io", NULL, &before, &failure));
	smaller.proxy.upstream_count = 1;
	smaller.proxy.default_upstream = no_default;
	registry_reload(registry, &smaller);
	assert_resolves("acme/app", "ghcr.io", NULL, "404 NAME_UNKNOWN");
	assert_resolves("alpine", NULL, NULL, "local alpine");
	assert_resolves("alpine", "docker.io", NULL, "docker.io library/alpine");
	/* a request that had begun goes on with what it had */
	assert_string_equal(target_namespace(&before), "ghcr.io");
	target_release(&before);
	assert_null(target_namespace(&before));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ns_names_the_upstream),
		TEST(ns_does_not_prefix_twice),
		TEST(an_unknown_ns_is_not_found),
		TEST(no_ns_at_all_is_as_good_as_an_empty_one),
		TEST(host_names_the_upstream),
		TEST(a_prefix_names_the_upstream),
		TEST(a_bare_name_is_the_defaults),
		cmocka_unit_test_setup_teardown(without_a_default_a_bare_name_is_local,
						make_without_default, forget),
		TEST(what_was_pushed_comes_before_the_default),
		TEST(stores_that_cannot_tell_are_neither),
		TEST(nobody_pushes_to_an_upstream),
		TEST(a_short_name_is_an_official_image),
		TEST(a_name_that_is_none_is_refused),
		TEST(what_is_denied_is_denied_by_every_name),
		TEST(a_reload_changes_what_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
