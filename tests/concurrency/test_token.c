/* Threads that need the same token ask for it once, and share what comes. */
#include "server/upstream/token.h"

#include "server/upstream/credential.h"
#include "server/upstream/transfer.h"
#include "tests/support/script_server.h"

#include <signal.h>
#include <stdatomic.h>

#define THREADS 8

struct scene {
	struct transfer_pool *pool;
	struct login_memory *logins;
	struct token_cache *cache;
	struct script_server *server;
	const char *reply;
	const struct credential_config *credential;
	bool same_scope;
	atomic_uint outcomes[BW_INTERNAL + 1];
	/* the service answers only when all threads are on their way */
	atomic_uint arrived;
};

static const struct credential_config robot = {
	.name = (char[]){"robot"}, .username = (char[]){"acme"}, .password = (char[]){"secret"}};

static struct script_reply answer_when_all_have_come(void *context, const char *request)
{
	struct scene *scene = context;

	(void)request;
	while (atomic_load(&scene->arrived) < THREADS)
		sched_yield();
	return (struct script_reply){.bytes = scene->reply};
}

static int start(void **state)
{
	static const struct transfer_options options = {
		.connect_ms = 2000, .first_byte_ms = 10000, .stall_ms = 2000, .max_idle = 2};
	struct scene *scene = xcalloc(1, sizeof(*scene));

	scene->pool = transfer_pool_new(&options);
	scene->logins = login_memory_new();
	scene->cache = token_cache_new(scene->pool, scene->logins);
	scene->server = script_server_new(answer_when_all_have_come, scene);
	*state = scene;
	return 0;
}

static int end(void **state)
{
	struct scene *scene = *state;

	token_cache_free(scene->cache);
	login_memory_free(scene->logins);
	transfer_pool_free(scene->pool);
	script_server_free(scene->server);
	free(scene);
	return 0;
}

static void get_one(void *context, unsigned index)
{
	struct scene *scene = context;
	char *token = NULL;
	char scope[32];
	enum status status;

	snprintf(scope, sizeof(scope), "repository:%u:pull", scene->same_scope ? 0 : index);
	atomic_fetch_add(&scene->arrived, 1);
	status = token_get(scene->cache, scene->server->url, "service", scope, scene->credential,
			   deadline_in(20000), &token, NULL);
	atomic_fetch_add(&scene->outcomes[status], 1);
	assert_true((status == BW_OK) == (token != NULL));
	secret_free(token);
}

static void one_request_serves_all(void **state)
{
	struct scene *scene = *state;

	scene->same_scope = true;
	scene->reply = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"token\":\"t\"}";
	run_together(THREADS, get_one, scene);
	assert_int_equal(scene->outcomes[BW_OK], THREADS);
	assert_int_equal(script_requests(scene->server), 1);
}

static void one_wrong_password_is_sent_once(void **state)
{
	struct scene *scene = *state;

	scene->credential = &robot;
	scene->reply = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
	run_together(THREADS, get_one, scene);
	assert_int_equal(scene->outcomes[BW_DENIED], THREADS);
	assert_int_equal(script_requests(scene->server), 1);
}

static void a_right_password_serves_all_scopes(void **state)
{
	struct scene *scene = *state;

	scene->credential = &robot;
	scene->reply = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"token\":\"t\"}";
	run_together(THREADS, get_one, scene);
	assert_int_equal(scene->outcomes[BW_OK], THREADS);
	assert_int_equal(script_requests(scene->server), THREADS);
}

static void a_token_that_is_forgotten_all_the_time(void *context, unsigned index)
{
	struct scene *scene = context;

	for (unsigned i = 0; i < 50; i++) {
		char *token = NULL;

		if (token_get(scene->cache, scene->server->url, "service", "s", NULL,
			      deadline_in(20000), &token, NULL) != BW_OK)
			continue;
		atomic_fetch_add(&scene->outcomes[BW_OK], 1);
		if (index % 2)
			token_forget(scene->cache, scene->server->url, "service", "s", NULL, token);
		secret_free(token);
	}
}

static void forgetting_and_getting_at_once(void **state)
{
	struct scene *scene = *state;

	scene->arrived = THREADS;
	scene->reply = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"token\":\"t\"}";
	run_together(THREADS, a_token_that_is_forgotten_all_the_time, scene);
	assert_int_equal(scene->outcomes[BW_OK], 50 * THREADS);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(one_request_serves_all),
		CASE(one_wrong_password_is_sent_once),
		CASE(a_right_password_serves_all_scopes),
		CASE(forgetting_and_getting_at_once),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
