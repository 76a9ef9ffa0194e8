/*
 * Pushes, pulls and deletions at once.
 */
#include "tests/support/push_world.h"

#include <pthread.h>

#define ROUNDS 300

static struct push_world *push;
static struct digest image;
static char *body, image_text[DIGEST_TEXT_SIZE];

static int make(void **state)
{
	struct digest config;

	(void)state;
	push = push_world_new(CHECK_NOTHING);
	free(some_bytes(10, 1, &config));
	body = image_of(&config, 10, &config, 10, &image);
	digest_format(&image, image_text);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	push_world_free(push);
	free(body);
	return 0;
}

/* Threads are no place for cmocka's assertions. */
static bool put(struct registry *registry, const char *text)
{
	const struct manifest_push request = {
		.reference = "latest", .body = text, .length = strlen(text)};
	struct pushed_manifest pushed;
	struct api_failure failure;

	return registry_put_manifest(registry, &push->target, &request, &pushed, &failure);
}

static bool get(const char *reference, char digest[DIGEST_TEXT_SIZE])
{
	struct manifest_view *view;
	enum cache_verdict verdict;
	struct api_failure failure;

	if (!registry_get_manifest(push->registry, &push->target, reference, false, &view, &verdict,
				   &failure))
		return false;
	str_copy(digest, DIGEST_TEXT_SIZE, view->digest_text);
	manifest_view_unref(view);
	return true;
}

static _Atomic bool enough;

static void *keep_reading(void *argument)
{
	char digest[DIGEST_TEXT_SIZE];

	(void)argument;
	while (!atomic_load(&enough)) {
		get(image_text, digest);
		get("latest", digest);
	}
	return NULL;
}

/* A reader that found the manifest just before must not leave it in memory. */
static void what_was_deleted_is_gone_for_who_asks_next(void **state)
{
	pthread_t readers[2];
	struct api_failure failure;
	char digest[DIGEST_TEXT_SIZE];
	unsigned read_after = 0, failed = 0;

	(void)state;
	atomic_store(&enough, false);
	for (size_t i = 0; i < array_size(readers); i++)
		assert_int_equal(pthread_create(&readers[i], NULL, keep_reading, NULL), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		failed += !put(push->registry, body);
		failed += !registry_delete_manifest(push->registry, &push->target, image_text,
						    &failure);
		for (unsigned k = 0; k < 5; k++)
			read_after += get(image_text, digest) || get("latest", digest);
	}
	atomic_store(&enough, true);
	for (size_t i = 0; i < array_size(readers); i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(failed, 0);
	assert_int_equal(read_after, 0);
}

struct pusher {
	struct registry *registry;
	pthread_barrier_t *barrier;
	char *body;
	bool done;
};

static void *push_once(void *argument)
{
	struct pusher *pusher = argument;

	pthread_barrier_wait(pusher->barrier);
	pusher->done = put(pusher->registry, pusher->body);
	return NULL;
}

/* Both are told that it is done; the tag is one of the two, whole, and to everybody
 * the same. */
static void two_pushes_of_one_tag_end_with_one_of_them(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROUNDS / 3; i++) {
		pthread_barrier_t barrier;
		struct pusher pushers[2];
		pthread_t threads[2];
		char digest[DIGEST_TEXT_SIZE], first[DIGEST_TEXT_SIZE];
		struct digest config, digests[2];

		pthread_barrier_init(&barrier, NULL, 2);
		for (size_t k = 0; k < 2; k++) {
			free(some_bytes(20 + i, (unsigned)k, &config));
			pushers[k] = (struct pusher){
				.registry = k ? push->other : push->registry,
				.barrier = &barrier,
				.body = image_of(&config, 20 + i, &config, 20 + i, &digests[k]),
			};
			assert_int_equal(pthread_create(&threads[k], NULL, push_once, &pushers[k]),
					 0);
		}
		for (size_t k = 0; k < 2; k++)
			pthread_join(threads[k], NULL);
		pthread_barrier_destroy(&barrier);
		assert_true(pushers[0].done && pushers[1].done);
		assert_true(get("latest", digest));
		digest_format(&digests[0], first);
		if (strcmp(digest, first) != 0) {
			digest_format(&digests[1], first);
			assert_string_equal(digest, first);
		}
		for (size_t k = 0; k < 2; k++) {
			digest_format(&digests[k], first);
			assert_true(get(first, digest)); /* by digest both are there */
			free(pushers[k].body);
		}
	}
}

/* ---- one upload, many who append to it ---- */

struct appender {
	struct upload_status at;
	pthread_barrier_t *barrier;
	char letter;
	bool done;
};

static void *append_once(void *argument)
{
	struct appender *appender = argument;
	struct upload_status from = appender->at;
	struct upload_handle handle = {.id = from.id, .token = from.token, .caller = ""};
	struct api_failure failure;
	struct text_body text;
	char bytes[64];

	memset(bytes, appender->letter, sizeof(bytes));
	pthread_barrier_wait(appender->barrier);
	appender->done = registry_append_upload(push->registry, &push->target, &handle, NULL,
						text_body(&text, bytes, sizeof(bytes)),
						&appender->at, &failure) ||
			 failure.http_status != 416;
	return NULL;
}

static void of_many_appends_one_gets_through(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROUNDS / 3; i++) {
		pthread_barrier_t barrier;
		struct appender appenders[3];
		pthread_t threads[3];
		struct upload_status at;
		struct api_failure failure;
		struct upload_handle handle;
		unsigned done = 0;

		assert_true(registry_begin_upload(push->registry, &push->target, "", NULL, &at,
						  &failure));
		pthread_barrier_init(&barrier, NULL, 3);
		for (size_t k = 0; k < 3; k++) {
			appenders[k] = (struct appender){at, &barrier, (char)('a' + k), false};
			assert_int_equal(
				pthread_create(&threads[k], NULL, append_once, &appenders[k]), 0);
		}
		for (size_t k = 0; k < 3; k++) {
			pthread_join(threads[k], NULL);
			done += appenders[k].done;
			assert_int_equal(appenders[k].at.offset, 64);
			assert_string_equal(appenders[k].at.token, appenders[0].at.token);
		}
		pthread_barrier_destroy(&barrier);
		assert_int_equal(done, 1);
		handle = (struct upload_handle){.id = at.id, .token = at.token, .caller = ""};
		assert_true(registry_cancel_upload(push->other, &push->target, &handle, &failure));
		assert_int_equal(uploads_with_parts(push), 0);
		assert_int_equal(upload_rows(push), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_deleted_is_gone_for_who_asks_next),
		TEST(two_pushes_of_one_tag_end_with_one_of_them),
		TEST(of_many_appends_one_gets_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
