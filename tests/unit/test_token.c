#include "server/upstream/token.h"

#include "server/upstream/credential.h"
#include "server/upstream/transfer.h"
#include "tests/support/script_server.h"

#include <signal.h>

struct fixture {
	struct transfer_pool *pool;
	struct login_memory *logins;
	struct token_cache *cache;
	struct script_server *server;
	struct script_fixed reply;
	char realm[128];
	struct error error;
};

static const struct credential_config robot = {
	.name = (char[]){"robot"}, .username = (char[]){"acme"}, .password = (char[]){"secret"}};
static const struct credential_config rotated = {.name = (char[]){"robot"},
						 .username = (char[]){"acme"},
						 .password = (char[]){"new secret"}};

static int start(void **state)
{
	static const struct transfer_options options = {
		.connect_ms = 2000, .first_byte_ms = 2000, .stall_ms = 2000, .max_idle = 2};
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->pool = transfer_pool_new(&options);
	fixture->logins = login_memory_new();
	fixture->cache = token_cache_new(fixture->pool, fixture->logins);
	script_fixed_init(&fixture->reply);
	fixture->server = script_server_new(script_fixed_answer, &fixture->reply);
	snprintf(fixture->realm, sizeof(fixture->realm), "%s/token", fixture->server->url);
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;

	token_cache_free(fixture->cache);
	login_memory_free(fixture->logins);
	transfer_pool_free(fixture->pool);
	script_server_free(fixture->server);
	script_fixed_release(&fixture->reply);
	free(fixture);
	return 0;
}

static void reply_with(struct fixture *fixture, int status, const char *headers, const char *body)
{
	char *bytes = xasprintf("HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
				strlen(body), body);

	script_fixed_set(&fixture->reply, bytes, SCRIPT_KEEP);
	free(bytes);
}

static enum status ask(struct fixture *fixture, const char *scope,
		       const struct credential_config *credential, char **ret_token)
{
	fixture->error = (struct error){0};
	return token_get(fixture->cache, fixture->realm, "registry.example", scope, credential,
			 deadline_in(10000), ret_token, &fixture->error);
}

static void assert_token(struct fixture *fixture, const char *scope,
			 const struct credential_config *credential, const char *wanted)
{
	char *token = NULL;

	if (ask(fixture, scope, credential, &token) != BW_OK)
		fail_msg("%s", fixture->error.message);
	assert_string_equal(token, wanted);
	secret_free(token);
}

static void assert_fails(struct fixture *fixture, const char *scope,
			 const struct credential_config *credential, enum status status)
{
	char *token = NULL;

	assert_int_equal(ask(fixture, scope, credential, &token), status);
	assert_null(token);
	assert_non_null(strstr(fixture->error.message, fixture->realm));
	assert_null(strstr(fixture->error.message, "secret"));
}

static void a_token_is_asked_for_once(void **state)
{
	struct fixture *fixture = *state;

	reply_with(fixture, 200, "", "{\"token\":\"t1\",\"expires_in\":300}");
	assert_token(fixture, "repository:a/b:pull", &robot, "t1");
	reply_with(fixture, 200, "", "{\"token\":\"t2\"}");
	assert_token(fixture, "repository:a/b:pull", &robot, "t1");
	assert_int_equal(script_requests(fixture->server), 1);
	assert_int_equal(script_count(fixture->server, "GET /token?service=registry.example&"
						       "scope=repository:a/b:pull HTTP/1.1\r\n"),
			 1);
	assert_int_equal(script_count(fixture->server, "Authorization: Basic YWNtZTpzZWNyZXQ="), 1);
}

static void another_scope_or_credential_has_another_token(void **state)
{
	struct fixture *fixture = *state;

	reply_with(fixture, 200, "", "{\"token\":\"robots\"}");
	assert_token(fixture, "repository:a:pull", &robot, "robots");
	reply_with(fixture, 200, "", "{\"access_token\":\"nobodys\"}");
	assert_token(fixture, "repository:a:pull", NULL, "nobodys");
	assert_int_equal(script_count(fixture->server, "Authorization"), 1);
	reply_with(fixture, 200, "", "{\"token\":\"\",\"access_token\":\"another\"}");
	assert_token(fixture, "repository:b:pull", &robot, "another");
	reply_with(fixture, 200, "", "{\"token\":\"rotated\"}");
	assert_token(fixture, "repository:a:pull", &rotated, "rotated");
	assert_token(fixture, "repository:a:pull", &robot, "robots");
	assert_token(fixture, "repository:a:pull", NULL, "nobodys");
}

static void a_query_in_the_realm_is_kept(void **state)
{
	struct fixture *fixture = *state;

	snprintf(fixture->realm, sizeof(fixture->realm), "%s/token?x=1#part", fixture->server->url);
	reply_with(fixture, 200, "", "{\"token\":\"t\"}");
	assert_token(fixture, "repository:a&b=c:pull", NULL, "t");
	assert_int_equal(script_count(fixture->server, "GET /token?x=1&service=registry.example&"
						       "scope=repository:a%26b%3Dc:pull HTTP"),
			 1);
}

static void a_forgotten_token_is_asked_for_again(void **state)
{
	struct fixture *fixture = *state;

	reply_with(fixture, 200, "", "{\"token\":\"t1\"}");
	assert_token(fixture, "s", NULL, "t1");
	token_forget(fixture->cache, fixture->realm, "registry.example", "s", NULL, "some other");
	assert_token(fixture, "s", NULL, "t1");
	token_forget(fixture->cache, fixture->realm, "registry.example", "s", NULL, "t1");
	reply_with(fixture, 200, "", "{\"token\":\"t2\"}");
	assert_token(fixture, "s", NULL, "t2");
}

/* A life of one second is over after 800 ms, and the reply is never older. */
static void a_short_token_is_replaced_before_it_expires(void **state)
{
	struct fixture *fixture = *state;
	int64_t asked_ms;

	reply_with(fixture, 200, "", "{\"token\":\"t1\",\"expires_in\":1}");
	assert_token(fixture, "s", NULL, "t1");
	asked_ms = clock_monotonic_ms();
	reply_with(fixture, 200, "", "{\"token\":\"t2\",\"expires_in\":1}");
	for (;;) {
		char *token = NULL;
		bool is_new;

		assert_int_equal(ask(fixture, "s", NULL, &token), BW_OK);
		is_new = strcmp(token, "t2") == 0;
		secret_free(token);
		if (is_new)
			break;
		assert_true(clock_monotonic_ms() - asked_ms < 1000);
	}
}

static void a_failed_login_is_not_repeated_for_any_scope(void **state)
{
	struct fixture *fixture = *state;

	reply_with(fixture, 401, "", "{}");
	assert_fails(fixture, "repository:a:pull", &robot, BW_DENIED);
	assert_fails(fixture, "repository:a:pull", &robot, BW_DENIED);
	assert_fails(fixture, "repository:b:pull", &robot, BW_DENIED);
	assert_int_equal(script_requests(fixture->server), 1);
	reply_with(fixture, 200, "", "{\"token\":\"t\"}");
	assert_token(fixture, "repository:a:pull", &rotated, "t");
	assert_token(fixture, "repository:a:pull", NULL, "t");
	assert_fails(fixture, "repository:a:pull", &robot, BW_DENIED);
	assert_int_equal(script_requests(fixture->server), 3);
}

static void forbidden_is_about_the_scope(void **state)
{
	struct fixture *fixture = *state;

	reply_with(fixture, 403, "", "{}");
	assert_fails(fixture, "repository:a:pull", &robot, BW_DENIED);
	reply_with(fixture, 200, "", "{\"token\":\"t\"}");
	assert_token(fixture, "repository:b:pull", &robot, "t");
	assert_fails(fixture, "repository:a:pull", &robot, BW_DENIED);
}

static void throttling_says_how_long(void **state)
{
	struct fixture *fixture = *state;

	reply_with(fixture, 429, "Retry-After: 57\r\n", "");
	assert_fails(fixture, "s", NULL, BW_UNAVAILABLE);
	assert_int_equal(fixture->error.retry_after, 57);
	reply_with(fixture, 429, "Retry-After: 999999999999999999999\r\n", "");
	assert_fails(fixture, "s", NULL, BW_UNAVAILABLE);
	assert_in_range(fixture->error.retry_after, 1, 3600);
	reply_with(fixture, 429, "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n", "");
	assert_fails(fixture, "s", NULL, BW_UNAVAILABLE);
	assert_int_equal(fixture->error.retry_after, 3600);
}

static void other_answers_are_no_token(void **state)
{
	static const struct {
		int status;
		const char *body;
	} cases[] = {
		{500, ""},
		{404, ""},
		{302, ""},
		{204, ""},
		{200, ""},
		{200, "token"},
		{200, "[]"},
		{200, "{}"},
		{200, "{\"token\":5}"},
		{200, "{\"token\":\"\"}"},
		{200, "{\"token\":\"a b\"}"},
		{200, "{\"token\":\"a\\r\\nX-Evil: 1\"}"},
		{200, "{\"token\":\"\xc3\xa4\"}"},
		{200, "{\"token\":\"t\"} x"},
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_size(cases); i++) {
		reply_with(fixture, cases[i].status, "Location: /elsewhere\r\n", cases[i].body);
		assert_fails(fixture, "s", NULL, BW_UNREACHABLE);
	}
	assert_int_equal(script_count(fixture->server, "GET /elsewhere"), 0);
}

static void a_reply_without_end_is_cut(void **state)
{
	struct fixture *fixture = *state;
	char *body = xmalloc(500001);

	memset(body, ' ', 500000);
	body[500000] = '\0';
	reply_with(fixture, 200, "", body);
	assert_fails(fixture, "s", NULL, BW_UNREACHABLE);
	assert_non_null(strstr(fixture->error.message, "over"));
	free(body);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_token_is_asked_for_once),
		CASE(another_scope_or_credential_has_another_token),
		CASE(a_query_in_the_realm_is_kept),
		CASE(a_forgotten_token_is_asked_for_again),
		CASE(a_short_token_is_replaced_before_it_expires),
		CASE(a_failed_login_is_not_repeated_for_any_scope),
		CASE(forbidden_is_about_the_scope),
		CASE(throttling_says_how_long),
		CASE(other_answers_are_no_token),
		CASE(a_reply_without_end_is_cut),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
