/* Who gets to see a credential, and how often a registry is asked for what. */
#include "tests/support/upstream_fixture.h"

#define MANIFEST "GET /v2/team/app/manifests/1 "
#define ROBOT "credentials:\n  robot: {username: acme, password: secret}\n"
#define ROTATED "credentials:\n  robot: {username: acme, password: rotated}\n"
#define ROBOT_BASIC "Authorization: Basic YWNtZTpzZWNyZXQ="
#define ROTATED_BASIC "Authorization: Basic YWNtZTpyb3RhdGVk"

static void use_credential(struct scene *scene, const char *credentials, const char *more)
{
	char *keys = xasprintf("      urls: [\"%s\"]\n"
			       "      credentials: [{match: \"**\", use: [robot]}]\n%s",
			       scene->one.server->url, more);

	scene_configure(scene, keys, credentials);
	free(keys);
}

static void challenge_with(struct scene *scene, const char *realm, const char *more)
{
	char *header = xasprintf(
		"WWW-Authenticate: Bearer realm=\"%s/token\",service=\"svc\"%s\r\n", realm, more);

	registry_on(&scene->one, ALWAYS("GET /v2/"), 401, header, "{}");
	free(header);
}

/* Tokens "t1" from registry one's /token open everything. */
static void bearer_registry(struct scene *scene)
{
	registry_on(&scene->one, WITH("GET /v2/", "Authorization: Bearer t1\r\n"), 200, "", "{}");
	registry_on(&scene->one, ALWAYS("GET /token"), 200, "", "{\"token\":\"t1\"}");
	challenge_with(scene, scene->one.server->url, ",scope=\"repository:team/app:pull,push\"");
}

static void a_warm_upstream_costs_one_request(void **state)
{
	struct scene *scene = *state;

	bearer_registry(scene);
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	assert_int_equal(script_requests(scene->one.server), 3);
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	assert_int_equal(script_requests(scene->one.server), 4);
	/* a repository never seen: its token, and the request */
	assert_int_equal(get_manifest(scene, "team/other", "1"), BW_OK);
	assert_int_equal(script_requests(scene->one.server), 6);
	assert_int_equal(script_connections(scene->one.server), 1);
	assert_int_equal(script_count(scene->one.server, "Basic"), 0);
}

static void a_reload_keeps_what_was_learned(void **state)
{
	struct scene *scene = *state;

	bearer_registry(scene);
	use_credential(scene, ROBOT, "");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	use_credential(scene, ROBOT, "      manifestTTL: 7m\n");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	assert_int_equal(script_requests(scene->one.server), 4);
	assert_int_equal(script_connections(scene->one.server), 1);
}

static void a_rotated_password_gets_its_own_token(void **state)
{
	struct scene *scene = *state;

	bearer_registry(scene);
	use_credential(scene, ROBOT, "");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	use_credential(scene, ROTATED, "");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	assert_int_equal(script_count(scene->one.server, ROBOT_BASIC), 1);
	assert_int_equal(script_count(scene->one.server, ROTATED_BASIC), 1);
}

static void the_scope_is_ours_whatever_the_challenge_says(void **state)
{
	struct scene *scene = *state;

	registry_on(&scene->one, WITH("GET /v2/", "Bearer t1"), 200, "", "{}");
	registry_on(&scene->one, ALWAYS("GET /token"), 200, "", "{\"token\":\"t1\"}");
	challenge_with(scene, scene->one.server->url, ",scope=\"repository:secret/other:*\"");
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	assert_int_equal(script_count(scene->one.server,
				      "GET /token?service=svc&scope=repository:team/app:pull HTTP"),
			 1);
}

static void a_realm_elsewhere_gets_nothing(void **state)
{
	struct scene *scene = *state;

	challenge_with(scene, scene->two.server->url, "");
	use_credential(scene, ROBOT, "");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_UNREACHABLE);
	assert_says(scene, "upstream \"fake.test\" (credential \"robot\")");
	assert_says(scene, scene->two.server->url);
	assert_says(scene, "tokenRealms");
	assert_int_equal(script_requests(scene->two.server), 0);
	/* and is not remembered either */
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_UNREACHABLE);
	assert_int_equal(script_requests(scene->two.server), 0);
}

static void a_listed_realm_gets_the_credential(void **state)
{
	struct scene *scene = *state;
	char *more = xasprintf("      tokenRealms: [\"%s\"]\n", scene->two.server->url);

	registry_on(&scene->one, WITH("GET /v2/", "Bearer t1"), 200, "", "{}");
	challenge_with(scene, scene->two.server->url, "");
	registry_on(&scene->two, WITH("GET /token", ROBOT_BASIC), 200, "", "{\"token\":\"t1\"}");
	use_credential(scene, ROBOT, more);
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	assert_int_equal(script_count(scene->one.server, "Basic"), 0);
	free(more);
}

static void a_realm_taken_off_the_list_is_asked_no_more(void **state)
{
	struct scene *scene = *state;

	a_listed_realm_gets_the_credential(state);
	use_credential(scene, ROTATED, "");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_UNREACHABLE);
	assert_int_equal(script_requests(scene->two.server), 1);
}

static void realms_that_are_no_urls(void **state)
{
	static const char *const realms[] = {"token service", "file:///etc/passwd",
					     "ftp://127.0.0.1/", "//127.0.0.1", "http://"};
	struct scene *scene = *state;

	for (size_t i = 0; i < array_size(realms); i++) {
		registry_forget(&scene->one);
		upstream_set_unref(scene->set);
		scene->set = NULL;
		challenge_with(scene, realms[i], "");
		scene_use(scene, false);
		assert_int_equal(get_manifest(scene, "team/app", "1"), BW_UNREACHABLE);
	}
}

static void a_revoked_token_is_replaced_once(void **state)
{
	struct scene *scene = *state;

	bearer_registry(scene);
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	registry_forget(&scene->one);
	registry_on(&scene->one, WITH("GET /v2/", "Bearer t2"), 200, "", "{}");
	registry_on(&scene->one, ALWAYS("GET /token"), 200, "", "{\"token\":\"t2\"}");
	challenge_with(scene, scene->one.server->url, ",error=\"invalid_token\"");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	assert_int_equal(script_requests(scene->one.server), 3 + 3);
}

static void a_token_that_does_not_help_is_a_denial(void **state)
{
	struct scene *scene = *state;

	registry_on(&scene->one, ALWAYS("GET /token"), 200, "", "{\"token\":\"t1\"}");
	challenge_with(scene, scene->one.server->url, ",error=\"insufficient_scope\"");
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_DENIED);
	assert_says(scene, "upstream \"fake.test\" answered 401 (credential \"anonymous\")");
	assert_int_equal(script_count(scene->one.server, MANIFEST), 2);
	/* the next one begins with a fresh token, and ends there */
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_DENIED);
	assert_int_equal(script_count(scene->one.server, MANIFEST), 3);
	assert_int_equal(script_count(scene->one.server, "GET /token"), 2);
}

static void basic_is_sent_ahead_once_it_was_asked_for(void **state)
{
	struct scene *scene = *state;

	registry_on(&scene->one, WITH("GET /v2/", ROBOT_BASIC), 200, "", "{}");
	registry_on(&scene->one, ALWAYS("GET /v2/"), 401, "WWW-Authenticate: Basic realm=\"x\"\r\n",
		    "");
	use_credential(scene, ROBOT, "");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	assert_int_equal(script_requests(scene->one.server), 3);
}

static void a_wrong_password_is_sent_once(void **state)
{
	struct scene *scene = *state;

	registry_on(&scene->one, WITH("GET /v2/", ROTATED_BASIC), 200, "", "{}");
	registry_on(&scene->one, ALWAYS("GET /v2/"), 401, "WWW-Authenticate: Basic realm=\"x\"\r\n",
		    "");
	use_credential(scene, ROBOT, "");
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(get_manifest(scene, i % 2 ? "team/app" : "b", "1"), BW_DENIED);
		assert_says(scene, "credential \"robot\"");
	}
	assert_int_equal(script_count(scene->one.server, ROBOT_BASIC), 1);
	use_credential(scene, ROTATED, "");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
}

static void basic_without_a_credential_is_a_denial(void **state)
{
	struct scene *scene = *state;

	registry_on(&scene->one, ALWAYS("GET /v2/"), 401, "WWW-Authenticate: Basic realm=\"x\"\r\n",
		    "");
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_DENIED);
	assert_says(scene, "no credential is configured for \"team/app\"");
}

static void challenges_nobody_knows_are_denials(void **state)
{
	struct scene *scene = *state;

	registry_on(&scene->one, ONCE("GET /v2/"), 401, "WWW-Authenticate: Negotiate\r\n", "");
	registry_on(&scene->one, ONCE("GET /v2/"), 401, "", "");
	registry_on(&scene->one, ONCE("GET /v2/"), 403, "", "");
	use_credential(scene, ROBOT, "");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(get_manifest(scene, "team/app", "1"), BW_DENIED);
	assert_int_equal(script_count(scene->one.server, "Authorization"), 0);
}

static void the_longest_match_has_the_credential(void **state)
{
	struct scene *scene = *state;
	char *keys = xasprintf("      urls: [\"%s\"]\n"
			       "      credentials:\n"
			       "      - {match: \"**\", use: [anonymous]}\n"
			       "      - {match: \"team/**\", use: [robot]}\n"
			       "      - {match: \"team/open/**\", use: [anonymous]}\n"
			       "      allow: [\"team/**\", \"lib/*\"]\n"
			       "      deny: [\"team/secret\"]\n",
			       scene->one.server->url);

	scene_configure(scene, keys, ROBOT);
	assert_string_equal(upstream_credential_name(scene->upstream, "x"), "anonymous");
	assert_string_equal(upstream_credential_name(scene->upstream, "team/app"), "robot");
	assert_string_equal(upstream_credential_name(scene->upstream, "team/open/app"),
			    "anonymous");
	assert_true(upstream_allows(scene->upstream, "team/app"));
	assert_true(upstream_allows(scene->upstream, "lib/a"));
	assert_false(upstream_allows(scene->upstream, "lib/a/b"));
	assert_false(upstream_allows(scene->upstream, "team/secret"));
	assert_false(upstream_allows(scene->upstream, "other"));
	free(keys);
}

static void redirect(struct registry *registry, struct route route, const char *base,
		     const char *path)
{
	char *location = xasprintf("Location: %s%s\r\n", base, path);

	registry_on(registry, route, 307, location, "");
	free(location);
}

static void a_redirect_elsewhere_takes_no_credential_along(void **state)
{
	struct scene *scene = *state;

	redirect(&scene->one, WITH(MANIFEST, ROBOT_BASIC), "", "/elsewhere");
	redirect(&scene->one, WITH("GET /elsewhere", ROBOT_BASIC), scene->two.server->url,
		 "/far?sig=1");
	redirect(&scene->two, ALWAYS("GET /far?sig=1"), scene->one.server->url, "/home");
	registry_on(&scene->one, ALWAYS("GET /home"), 200, "", "{}");
	registry_on(&scene->one, ALWAYS("GET /v2/"), 401, "WWW-Authenticate: Basic realm=\"x\"\r\n",
		    "");
	use_credential(scene, ROBOT, "");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_OK);
	assert_int_equal(script_count(scene->two.server, "Authorization"), 0);
	assert_int_equal(script_count(scene->one.server, "GET /home"), 1);
	assert_int_equal(script_count(scene->one.server, ROBOT_BASIC), 2);
}

static void who_is_redirected_to_answers_no_challenge(void **state)
{
	struct scene *scene = *state;

	redirect(&scene->one, ALWAYS(MANIFEST), scene->two.server->url, "/far?sig=secret");
	registry_on(&scene->two, ALWAYS("GET /far"), 401, "WWW-Authenticate: Basic realm=\"x\"\r\n",
		    "");
	use_credential(scene, ROBOT, "");
	assert_int_equal(get_manifest(scene, "team/app", "1"), BW_UNREACHABLE);
	assert_says(scene, "answered 401");
	assert_says(scene, "/far)");
	assert_null(strstr(scene->error.message, "secret"));
	assert_int_equal(script_requests(scene->two.server), 1);
}

static void redirects_end(void **state)
{
	struct scene *scene = *state;

	redirect(&scene->one, ALWAYS("GET /v2/loop/"), "", "/v2/loop/manifests/1");
	redirect(&scene->one, ALWAYS("GET /v2/file/"), "file://", "/etc/passwd");
	redirect(&scene->one, ALWAYS("GET /v2/user/"), "http://u:p@127.0.0.1:1", "/");
	registry_on(&scene->one, ALWAYS("GET /v2/none/"), 307, "", "");
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "loop", "1"), BW_UNREACHABLE);
	assert_says(scene, "redirected more than 5 times");
	assert_int_equal(script_requests(scene->one.server), 6);
	assert_int_equal(get_manifest(scene, "file", "1"), BW_UNREACHABLE);
	assert_says(scene, "not http");
	assert_int_equal(get_manifest(scene, "user", "1"), BW_UNREACHABLE);
	assert_int_equal(get_manifest(scene, "none", "1"), BW_UNREACHABLE);
	assert_says(scene, "answered 307");
}

/* Not even asked: a cloud's metadata service answers at such an address. */
static void redirects_to_link_local_addresses_are_refused(void **state)
{
	struct scene *scene = *state;

	redirect(&scene->one, ALWAYS("GET /v2/v4/"), "http://169.254.1.1", "/");
	redirect(&scene->one, ALWAYS("GET /v2/number/"), "http://2851995905", "/");
	redirect(&scene->one, ALWAYS("GET /v2/mapped/"), "http://[::ffff:169.254.1.1]", "/");
	redirect(&scene->one, ALWAYS("GET /v2/v6/"), "http://[fe80::1]", "/");
	scene_use(scene, false);
	assert_int_equal(get_manifest(scene, "v4", "1"), BW_UNREACHABLE);
	assert_says(scene, "link-local");
	assert_int_equal(get_manifest(scene, "number", "1"), BW_UNREACHABLE);
	assert_says(scene, "link-local");
	assert_int_equal(get_manifest(scene, "mapped", "1"), BW_UNREACHABLE);
	assert_says(scene, "link-local");
	assert_int_equal(get_manifest(scene, "v6", "1"), BW_UNREACHABLE);
	assert_says(scene, "link-local");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, scene_start, scene_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_warm_upstream_costs_one_request),
		CASE(a_reload_keeps_what_was_learned),
		CASE(a_rotated_password_gets_its_own_token),
		CASE(the_scope_is_ours_whatever_the_challenge_says),
		CASE(a_realm_elsewhere_gets_nothing),
		CASE(a_listed_realm_gets_the_credential),
		CASE(a_realm_taken_off_the_list_is_asked_no_more),
		CASE(realms_that_are_no_urls),
		CASE(a_revoked_token_is_replaced_once),
		CASE(a_token_that_does_not_help_is_a_denial),
		CASE(basic_is_sent_ahead_once_it_was_asked_for),
		CASE(a_wrong_password_is_sent_once),
		CASE(basic_without_a_credential_is_a_denial),
		CASE(challenges_nobody_knows_are_denials),
		CASE(the_longest_match_has_the_credential),
		CASE(a_redirect_elsewhere_takes_no_credential_along),
		CASE(who_is_redirected_to_answers_no_challenge),
		CASE(redirects_end),
		CASE(redirects_to_link_local_addresses_are_refused),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
