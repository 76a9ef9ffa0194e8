#include "server/content/gc_files.h"

#include "server/base/buf.h"
#include "server/base/json.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/content/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GC_FILE_MAX ((size_t)64 << 10) /* GC_BATCH_MAX digests, quoted */
#define CLEAR_MAX 1000 /* files looked at at a time */

_Static_assert(GC_BATCH_MAX *(DIGEST_TEXT_SIZE + 3) < GC_FILE_MAX, "a batch fits its file");

#define RUNS_PREFIX GC_PREFIX "runs/"
#define CONDEMNED_PREFIX GC_PREFIX "condemned/"
#define KEPT_PREFIX GC_PREFIX "kept/"

static void key_of_run(char key[KEY_SIZE], const char *id)
{
	snprintf(key, KEY_SIZE, RUNS_PREFIX "%s", id);
}

static void key_of_condemned(char key[KEY_SIZE], const char *id)
{
	snprintf(key, KEY_SIZE, CONDEMNED_PREFIX "%s", id);
}

static void key_of_kept(char key[KEY_SIZE], const char *id, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];

	digest_format(digest, text);
	snprintf(key, KEY_SIZE, KEPT_PREFIX "%s/%s", id, text);
}

static bool run_id_valid(const char *id, size_t length)
{
	unsigned char bytes[(GC_RUN_ID_SIZE - 1) / 2];

	return length == GC_RUN_ID_SIZE - 1 && str_unhex(id, length, bytes);
}

/* ---- the collection's side ---- */

static enum status write_run(struct gc_run *run, struct error *error)
{
	struct buf text = BUF_INIT(GC_FILE_MAX);
	int64_t wall = clock_wall_ms();
	int64_t monotonic = clock_monotonic_ms();
	char key[KEY_SIZE];
	enum status status;

	buf_append_string(&text, "{\"refreshedAt\":");
	buf_append_u64(&text, wall > 0 ? (uint64_t)wall : 0);
	buf_append_char(&text, '}');
	key_of_run(key, run->id);
	status = object_put(run->objects, key, buf_string(&text), text.length, PUT_REPLACE, error);
	buf_release(&text);
	if (status != BW_OK)
		return status;
	run->refreshed_at = wall;
	run->refreshed_monotonic = monotonic;
	return BW_OK;
}

enum status gc_run_begin(struct gc_run *run, struct object_store *objects, struct error *error)
{
	struct gc_run begun = {.objects = objects};
	unsigned char random[(GC_RUN_ID_SIZE - 1) / 2];
	enum status status;

	random_bytes(random, sizeof(random));
	str_hex(random, sizeof(random), begun.id);
	status = write_run(&begun, error);
	if (status == BW_OK)
		*run = begun;
	return status;
}

/* By both clocks: the monotonic one may stand still while the machine sleeps, and
 * the other one is set by people. */
static int64_t age_of(const struct gc_run *run)
{
	int64_t by_wall = clock_wall_ms() - run->refreshed_at;
	int64_t by_monotonic = clock_monotonic_ms() - run->refreshed_monotonic;

	if (by_wall < 0)
		by_wall = -by_wall;
	return by_wall > by_monotonic ? by_wall : by_monotonic;
}

bool gc_run_alive(const struct gc_run *run)
{
	return age_of(run) < GC_RUN_REFRESH_LIMIT_MS;
}

enum status gc_run_refresh(struct gc_run *run, struct error *error)
{
	if (!gc_run_alive(run))
		return error_set(error, BW_CANCELLED,
				 "the garbage collection was held up for over %d s and stops",
				 GC_RUN_REFRESH_LIMIT_MS / 1000);
	if (age_of(run) < GC_RUN_REFRESH_MS)
		return BW_OK;
	return write_run(run, error);
}

static enum status write_condemned(struct gc_run *run, const struct digest *digests, size_t count,
				   struct error *error)
{
	struct buf text = BUF_INIT(GC_FILE_MAX);
	char key[KEY_SIZE];
	enum status status;

	buf_append_string(&text, "{\"digests\":[");
	for (size_t i = 0; i < count; i++) {
		char digest[DIGEST_TEXT_SIZE];

		digest_format(&digests[i], digest);
		buf_printf(&text, "%s\"%s\"", i > 0 ? "," : "", digest);
	}
	buf_append_string(&text, "]}");
	key_of_condemned(key, run->id);
	status = object_put(run->objects, key, buf_string(&text), text.length, PUT_REPLACE, error);
	buf_release(&text);
	return status;
}

enum status gc_run_condemn(struct gc_run *run, const struct digest *digests, size_t count,
			   struct error *error)
{
	if (count > GC_BATCH_MAX)
		return error_set(error, BW_INTERNAL, "%zu digests condemned at once", count);
	return write_condemned(run, digests, count, error);
}

enum status gc_run_acquit(struct gc_run *run, struct error *error)
{
	return write_condemned(run, NULL, 0, error);
}

enum status gc_run_is_kept(struct gc_run *run, const struct digest *digest, bool *ret_kept,
			   struct error *error)
{
	struct object_info info;
	char key[KEY_SIZE];
	enum status status;

	key_of_kept(key, run->id, digest);
	status = object_stat(run->objects, key, &info, error);
	if (status != BW_OK && status != BW_ABSENT)
		return status;
	*ret_kept = status == BW_OK;
	return BW_OK;
}

/* ---- clearing away ---- */

struct file_list {
	char **keys;
	size_t count;
};

static bool collect_file(void *context, const char *key, const struct object_info *info)
{
	struct file_list *files = context;

	(void)info;
	files->keys[files->count++] = xstrdup(key);
	return files->count < CLEAR_MAX;
}

/* Does the file belong to a run that lives? The id is what follows the kind's
 * folder; what has no id belongs to nobody. */
static enum status owner_lives(struct object_store *objects, const char *key, struct error *error)
{
	const char *id = strchr(key + strlen(GC_PREFIX), '/');
	char copy[GC_RUN_ID_SIZE];
	size_t length;

	if (!id)
		return BW_ABSENT;
	length = strcspn(++id, "/");
	if (!run_id_valid(id, length))
		return BW_ABSENT;
	memcpy(copy, id, length);
	copy[length] = '\0';
	return gc_run_lives(objects, copy, error);
}

/* A file is found before its run is looked for: a run that is not there then has
 * ended, since one that begins writes its own file before any other. */
static enum status clear_page(struct object_store *objects, const char *prefix,
			      char after[KEY_SIZE], bool even_of_living, size_t *ret_count,
			      struct error *error)
{
	struct file_list files = {.keys = xcalloc(CLEAR_MAX, sizeof(*files.keys))};
	enum status status = object_list(objects, prefix, after, collect_file, &files, error);

	for (size_t i = 0; i < files.count; i++) {
		enum status lives = BW_ABSENT;

		if (status == BW_OK && !even_of_living)
			lives = owner_lives(objects, files.keys[i], error);
		if (status == BW_OK && lives == BW_ABSENT)
			status = object_remove(objects, files.keys[i], error);
		else if (status == BW_OK && lives != BW_OK)
			status = lives;
		str_copy(after, KEY_SIZE, files.keys[i]);
		free(files.keys[i]);
	}
	free(files.keys);
	*ret_count = files.count;
	return status;
}

static enum status clear(struct object_store *objects, const char *prefix, bool even_of_living,
			 struct error *error)
{
	char after[KEY_SIZE] = "";
	size_t count = CLEAR_MAX;
	enum status status = BW_OK;

	while (status == BW_OK && count == CLEAR_MAX)
		status = clear_page(objects, prefix, after, even_of_living, &count, error);
	return status;
}

void gc_run_end(struct gc_run *run)
{
	char key[KEY_SIZE];

	key_of_condemned(key, run->id);
	if (object_remove(run->objects, key, NULL) != BW_OK)
		return;
	key_of_run(key, run->id);
	if (object_remove(run->objects, key, NULL) != BW_OK)
		return;
	snprintf(key, sizeof(key), KEPT_PREFIX "%s/", run->id);
	clear(run->objects, key, true, NULL);
}

enum status gc_clear_dead(struct object_store *objects, struct error *error)
{
	/* runs last: without its file, a dead run's others are found all the same */
	return clear(objects, GC_PREFIX, false, error);
}

/* ---- the side of those who make references ---- */

static bool collect_run(void *context, const char *key, const struct object_info *info)
{
	struct gc_run_list *list = context;
	const char *id = key + strlen(RUNS_PREFIX);

	(void)info;
	if (!run_id_valid(id, strlen(id)))
		return true;
	list->ids = xrealloc(list->ids, (list->count + 1) * sizeof(*list->ids));
	str_copy(list->ids[list->count++], GC_RUN_ID_SIZE, id);
	return true;
}

void gc_run_list_release(struct gc_run_list *list)
{
	free(list->ids);
	*list = (struct gc_run_list){0};
}

enum status gc_list_runs(struct object_store *objects, struct gc_run_list *ret, struct error *error)
{
	struct gc_run_list list = {0};
	enum status status = object_list(objects, RUNS_PREFIX, "", collect_run, &list, error);

	if (status == BW_OK)
		*ret = list;
	else
		gc_run_list_release(&list);
	return status;
}

enum status gc_run_lives(struct object_store *objects, const char *id, struct error *error)
{
	char key[KEY_SIZE];
	char *text = NULL;
	size_t length;
	uint64_t refreshed_at;
	cJSON *json = NULL;
	enum status status;

	key_of_run(key, id);
	status = object_get(objects, key, GC_FILE_MAX, &text, &length, error);
	if (status != BW_OK)
		return status == BW_TOO_LARGE ? BW_OK : status;
	if (json_parse(text, length, &json, NULL) == BW_OK &&
	    json_u64(json, "refreshedAt", &refreshed_at) &&
	    clock_wall_ms() - (int64_t)refreshed_at >= GC_RUN_DEAD_MS)
		status = error_set(error, BW_ABSENT, "the run has died");
	cJSON_Delete(json);
	free(text);
	return status;
}

enum status gc_keep(struct object_store *objects, const char *id, const struct digest *digest,
		    enum put_mode mode, struct error *error)
{
	char key[KEY_SIZE];

	key_of_kept(key, id, digest);
	return object_put(objects, key, "", 0, mode, error);
}

static bool names_one(const cJSON *list, const struct digest *digests, size_t count)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list)
	{
		struct digest digest;

		if (!cJSON_IsString(item) ||
		    !digest_parse(item->valuestring, strlen(item->valuestring), &digest))
			continue;
		for (size_t i = 0; i < count; i++)
			if (digest_equals(&digests[i], &digest))
				return true;
	}
	return false;
}

/* Not BW_CORRUPT: whoever asks on behalf of an upload would take its bytes for bad. */
static enum status not_readable(const char *key, struct error *error)
{
	error_set(error, BW_UNAVAILABLE, "%s is not readable", key);
	if (error)
		error->retry_after = 5;
	return BW_UNAVAILABLE;
}

enum status gc_any_condemned(struct object_store *objects, const char *id,
			     const struct digest *digests, size_t count, bool *ret_condemned,
			     struct error *error)
{
	char key[KEY_SIZE];
	char *text = NULL;
	size_t length;
	cJSON *json = NULL;
	const cJSON *list;
	struct error trouble = {0};
	enum status status;

	key_of_condemned(key, id);
	status = object_get(objects, key, GC_FILE_MAX, &text, &length, &trouble);
	if (status == BW_ABSENT) {
		*ret_condemned = false;
		return BW_OK;
	}
	if (status != BW_OK) {
		if (error)
			*error = trouble;
		return status;
	}
	status = json_parse(text, length, &json, NULL);
	list = json_member(json, "digests");
	if (status != BW_OK || !cJSON_IsArray(list))
		status = not_readable(key, error);
	else
		*ret_condemned = names_one(list, digests, count);
	cJSON_Delete(json);
	free(text);
	return status;
}
