/*
 * A world whose object store is elsewhere and has one blob, or not.
 */
#ifndef TESTS_SUPPORT_REMOTE_STORE_H
#define TESTS_SUPPORT_REMOTE_STORE_H

#include "server/content/keys.h"
#include "tests/support/cache_world.h"
#include "tests/support/hooked_store.h"

#define SIZE ((size_t)1 << 20)

struct scene {
	struct world *world;
	struct hooks hooks;
	struct digest digest;
	char *bytes;
	char *hot;
	char key[KEY_SIZE];
	_Atomic unsigned opens; /* of the blob, at the store */
	_Atomic unsigned right;
	_Atomic unsigned wrong;
};

static inline void count_opens(void *context, const char *action, const char *key)
{
	struct scene *scene = context;

	if (strcmp(action, "open") == 0 && str_starts_with(key, "blobs/"))
		scene->opens++;
}

static inline void restart(struct scene *scene)
{
	world_stop(scene->world);
	world_start(scene->world);
}

static inline int make_with(void **state, bool hot)
{
	struct scene *scene = xcalloc(1, sizeof(*scene));
	struct world *world = world_new();

	log_configure(LOG_ERROR + 1, LOG_TEXT);
	scene->world = world;
	scene->bytes = some_bytes(SIZE, 1, &scene->digest);
	scene->hot = xasprintf("%s/hot", world->scratch);
	key_of_blob(scene->key, &scene->digest);
	world_stop(world);
	scene->hooks = (struct hooks){.before = count_opens, .context = scene};
	world->objects = hooked_store_new(world->objects, &scene->hooks);
	world->options.remote_objects = true;
	world->options.hot_directory = hot ? scene->hot : NULL;
	world->options.hot_max = 64 * SIZE;
	world_start(world);
	*state = scene;
	return 0;
}

static inline int make(void **state)
{
	return make_with(state, true);
}

static inline int make_cold(void **state)
{
	return make_with(state, false);
}

static inline int forget(void **state)
{
	struct scene *scene = *state;

	world_free(scene->world);
	free(scene->bytes);
	free(scene->hot);
	free(scene);
	return 0;
}

static inline void store_bytes(struct scene *scene, const char *bytes, size_t length)
{
	assert_int_equal(
		object_put(scene->world->objects, scene->key, bytes, length, PUT_REPLACE, NULL),
		BW_OK);
}

/* The blob is stored, and a manifest of a's repository lists it. */
static inline void stored_for_a(struct scene *scene)
{
	store_bytes(scene, scene->bytes, SIZE);
	content_link_blob(scene->world->content, scene->world->a.stored, &scene->digest, SIZE,
			  NULL);
}

static inline unsigned asked_a(struct scene *scene)
{
	return fake_asked_blob("a.test", "team/app", &scene->digest).gets;
}

static inline void a_answers(struct scene *scene)
{
	fake_answer_blob("a.test", "team/app", &scene->digest,
			 (struct fake_reply){.body = scene->bytes, .length = SIZE});
}

static inline enum status read_all(struct scene *scene, struct blob_source *blob,
				   struct error *error)
{
	struct error trouble = {0};
	enum status status = BW_OK;

	if (blob->size != SIZE || !reads_like(blob, 0, scene->bytes, &trouble)) {
		assert_int_not_equal(trouble.code, BW_OK); /* no wrong byte */
		status = trouble.code;
	}
	blob_source_release(blob);
	if (error)
		*error = trouble;
	return status;
}

static inline enum status pull(struct scene *scene, struct error *error)
{
	struct blob_source blob = {0};
	enum status status = cache_open_blob(scene->world->cache, &scene->world->a, &scene->digest,
					     &blob, error);

	return status == BW_OK ? read_all(scene, &blob, error) : status;
}

static inline enum status pull_local(struct scene *scene, struct error *error)
{
	struct blob_source blob = {0};
	enum status status =
		cache_open_local_blob(scene->world->cache, &scene->digest, SIZE, &blob, error);

	if (status == BW_OK)
		assert_int_equal(blob.verdict, CACHE_LOCAL);
	return status == BW_OK ? read_all(scene, &blob, error) : status;
}

#endif
