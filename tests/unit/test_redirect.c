/*
 * Clients that are sent to the object store itself.
 */
#include "tests/support/remote_store.h"

struct signing_store {
	struct object_store base;
	struct object_store *inner;
	enum status status;
};

static enum status signing_stat(struct object_store *base, const char *key,
				struct object_info *ret_info, struct error *error)
{
	return object_stat(container_of(base, struct signing_store, base)->inner, key, ret_info,
			   error);
}

static enum status signing_open(struct object_store *base, const char *key,
				struct object_reader **ret_reader, struct error *error)
{
	return object_open(container_of(base, struct signing_store, base)->inner, key, ret_reader,
			   error);
}

static enum status signing_list(struct object_store *base, const char *prefix,
				const char *start_after, object_list_fn fn, void *context,
				struct error *error)
{
	return object_list(container_of(base, struct signing_store, base)->inner, prefix,
			   start_after, fn, context, error);
}

static enum status signing_presign(struct object_store *base, const char *key, unsigned seconds,
				   char **ret_url, struct error *error)
{
	const struct signing_store *store = container_of(base, struct signing_store, base);

	assert_true(seconds >= 60 && seconds <= 3600);
	if (store->status != BW_OK)
		return error_set(error, store->status, "no URL");
	*ret_url = xasprintf("http://store.test/%s?secret", key);
	return BW_OK;
}

static const struct object_store_ops signing_ops = {
	.name = "signing",
	.stat = signing_stat,
	.open = signing_open,
	.list = signing_list,
	.presign = signing_presign,
};

static void signing_begin(struct scene *scene, struct signing_store *store)
{
	*store = (struct signing_store){.base = {.ops = &signing_ops},
					.inner = scene->world->objects};
	world_stop(scene->world);
	scene->world->objects = &store->base;
	scene->world->options.redirect = true;
	world_start(scene->world);
}

static void signing_end(struct scene *scene, struct signing_store *store)
{
	world_stop(scene->world);
	scene->world->objects = store->inner;
}

/* Opens it as a client does; true: sent to the store. */
static bool is_redirected(struct scene *scene, bool local)
{
	struct cache *cache = scene->world->cache;
	struct blob_source blob = {0};
	enum status status =
		local ? cache_open_local_blob(cache, &scene->digest, SIZE, &blob, NULL)
		      : cache_open_blob(cache, &scene->world->a, &scene->digest, &blob, NULL);
	bool redirected = blob.redirect != NULL;

	assert_int_equal(status, BW_OK);
	assert_int_equal(blob.size, SIZE);
	if (redirected)
		assert_non_null(strstr(blob.redirect, scene->key));
	else
		assert_true(reads_like(&blob, 0, scene->bytes, NULL));
	blob_source_release(&blob);
	return redirected;
}

static void clients_are_sent_to_the_store(void **state)
{
	struct scene *scene = *state;
	struct signing_store store;

	stored_for_a(scene);
	signing_begin(scene, &store);
	assert_true(is_redirected(scene, true));
	assert_true(is_redirected(scene, false));
	assert_int_equal(scene->opens, 0);
	signing_end(scene, &store);
}

static void what_has_no_url_is_read(void **state)
{
	struct scene *scene = *state;
	struct signing_store store;

	stored_for_a(scene);
	signing_begin(scene, &store);
	store.status = BW_UNSUPPORTED;
	assert_false(is_redirected(scene, true));
	/* and then it is here, which beats a journey */
	store.status = BW_OK;
	restart(scene);
	assert_false(is_redirected(scene, true));
	assert_int_equal(scene->opens, 1);
	signing_end(scene, &store);
}

static void nobody_is_sent_to_what_is_gone(void **state)
{
	struct scene *scene = *state;
	struct signing_store store;

	a_answers(scene);
	stored_for_a(scene);
	assert_int_equal(object_remove(scene->world->objects, scene->key, NULL), BW_OK);
	signing_begin(scene, &store);
	assert_int_equal(pull_local(scene, NULL), BW_ABSENT);
	/* nor in an outage, or before it was decided who may have it */
	make_fail(&scene->world->object_faults, NULL, BW_IO);
	assert_int_equal(pull_local(scene, NULL), BW_UNAVAILABLE);
	assert_int_equal(pull(scene, NULL), BW_UNAVAILABLE);
	make_fail(&scene->world->object_faults, NULL, BW_OK);
	signing_end(scene, &store);
}

static void who_may_not_have_it_gets_no_url(void **state)
{
	struct scene *scene = *state;
	struct signing_store store;
	struct blob_source blob = {0};

	stored_for_a(scene);
	signing_begin(scene, &store);
	fake_answer_blob("b.test", "other/app", &scene->digest,
			 (struct fake_reply){.status = BW_DENIED, .http_status = 403});
	assert_int_equal(
		cache_open_blob(scene->world->cache, &scene->world->b, &scene->digest, &blob, NULL),
		BW_DENIED);
	assert_null(blob.redirect);
	signing_end(scene, &store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(clients_are_sent_to_the_store),
		TEST(what_has_no_url_is_read),
		TEST(nobody_is_sent_to_what_is_gone),
		TEST(who_may_not_have_it_gets_no_url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
