#include "server/cluster/news.h"

#include "backends/coordination.h"
#include "server/base/buf.h"
#include "server/base/digest.h"
#include "server/base/json.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "server/base/str.h"
#include "server/cluster/cluster_private.h"
#include "server/upstream/upstream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define uthash_malloc(size) xmalloc(size)
#include <uthash.h>

/* How soon something new is told, how often the others' notes are read, and how
 * often our own are put anew so that they do not expire. */
#define LOOK_MS 100
#define LIST_MS 1000
#define ALIVE_MS 1000
#define REPEAT_MS 5000
/* Who was silent for this long is dead. */
#define ALIVE_TTL_MS 4000
#define NEWS_TTL_MS 15000
/* Ends of pauses closer than this to what was told are the same. */
#define SAME_MS 200
#define NOTE_NAME_SIZE 33
#define JSON_MAX ((size_t)420)
#define LONGEST_MS (INT64_C(2) * 3600 * 1000)

/* What was last told under a note's name. */
struct news_told {
	UT_hash_handle hh;
	char name[NOTE_NAME_SIZE];
	deadline_ms open_until; /* 0: closed */
	deadline_ms throttled_until;
	int64_t read_at; /* of the rate limit */
	uint64_t remaining;
	int64_t repeat_at;
};

/* ---- a note's text ----------------------------------------------------- */

bool news_format(const struct upstream_news *news, struct buf *target)
{
	buf_append_string(target, "{\"upstream\":");
	buf_append_json(target, news->upstream, strlen(news->upstream));
	buf_append_string(target, ",\"credential\":");
	buf_append_json(target, news->credential, strlen(news->credential));
	buf_printf(target,
		   ",\"mirror\":%u,\"open\":%" PRId64 ",\"since\":%" PRId64
		   ",\"throttled\":%" PRId64,
		   news->mirror, news->open_ms, news->changed_ago_ms, news->throttled_ms);
	if (news->has_remaining)
		buf_printf(target, ",\"remaining\":%" PRIu64 ",\"read\":%" PRId64, news->remaining,
			   news->remaining_ago_ms);
	if (news->reason[0]) {
		buf_append_string(target, ",\"reason\":");
		buf_append_json(target, news->reason, strlen(news->reason));
	}
	buf_append_char(target, '}');
	return !target->overflow;
}

static bool read_ms(const cJSON *object, const char *name, int64_t *ret)
{
	uint64_t value;

	if (!json_u64(object, name, &value))
		return false;
	*ret = value < LONGEST_MS ? (int64_t)value : LONGEST_MS;
	return true;
}

/* What is left of it after `age_ms`; 0 stays 0. */
static int64_t left_of(int64_t ms, int64_t age_ms)
{
	return ms > age_ms ? ms - age_ms : 0;
}

static bool read_text(const cJSON *object, const char *name, char *target, size_t size)
{
	const char *text = json_string(object, name);

	return text && str_copy(target, size, text);
}

bool news_parse(const char *text, size_t length, int64_t age_ms, struct upstream_news *ret)
{
	struct upstream_news news = {0};
	uint64_t mirror = 0;
	cJSON *json;
	bool good;

	if (json_parse(text, length, &json, NULL) != BW_OK)
		return false;
	good = read_text(json, "upstream", news.upstream, sizeof(news.upstream)) &&
	       read_text(json, "credential", news.credential, sizeof(news.credential)) &&
	       json_u64(json, "mirror", &mirror) && mirror < 1000 &&
	       read_ms(json, "open", &news.open_ms) &&
	       read_ms(json, "since", &news.changed_ago_ms) &&
	       read_ms(json, "throttled", &news.throttled_ms);
	if (good) {
		news.mirror = (unsigned)mirror;
		news.open_ms = left_of(news.open_ms, age_ms);
		news.changed_ago_ms += age_ms;
		news.throttled_ms = left_of(news.throttled_ms, age_ms);
		news.has_remaining = json_u64(json, "remaining", &news.remaining) &&
				     read_ms(json, "read", &news.remaining_ago_ms);
		news.remaining_ago_ms += age_ms;
		if (!read_text(json, "reason", news.reason, sizeof(news.reason)))
			news.reason[0] = '\0';
		*ret = news;
	}
	cJSON_Delete(json);
	return good;
}

static void put_note(struct cluster *cluster, const char *group, const char *name, const char *json,
		     int64_t ttl_ms)
{
	struct buf value = BUF_INIT((size_t)COORDINATION_TEXT_MAX);
	char signature[SIGNATURE_SIZE];
	char time[24];

	snprintf(time, sizeof(time), "%" PRId64, clock_wall_ms());
	keyring_sign(cluster->keys, "note", SIGNED_TEXTS(group, name, time, json), signature);
	buf_printf(&value, "%s %s %s", signature, time, json);
	if (!value.overflow)
		coordination_put_note(cluster->coordination, group, name, buf_string(&value),
				      ttl_ms, NULL);
	buf_release(&value);
}

/* The JSON of a note that a replica signed within the clocks' difference. NULL: it is
 * none. */
static const char *check_note(struct cluster *cluster, const char *group, const char *name,
			      const char *value)
{
	char signature[SIGNATURE_SIZE];
	char time[24];
	const char *json;
	size_t digits;

	if (strlen(value) < SIGNATURE_SIZE || value[SIGNATURE_SIZE - 1] != ' ')
		return NULL;
	memcpy(signature, value, SIGNATURE_SIZE - 1);
	signature[SIGNATURE_SIZE - 1] = '\0';
	value += SIGNATURE_SIZE;
	digits = strcspn(value, " ");
	if (digits >= sizeof(time) || value[digits] != ' ')
		return NULL;
	memcpy(time, value, digits);
	time[digits] = '\0';
	json = value + digits + 1;
	if (!cluster_is_now(time) ||
	    !keyring_check(cluster->keys, "note", SIGNED_TEXTS(group, name, time, json), signature))
		return NULL;
	return json;
}

/* ---- telling ----------------------------------------------------------- */

struct telling {
	struct cluster *cluster;
	int64_t now;
};

/* One note for each of our standings: a name that no other replica uses. */
static void note_name(const struct cluster *cluster, const struct upstream_news *news,
		      char name[NOTE_NAME_SIZE])
{
	struct hasher hasher;
	struct digest digest;
	char text[DIGEST_TEXT_SIZE];
	char mirror[16];

	snprintf(mirror, sizeof(mirror), "%u", news->mirror);
	hasher_init(&hasher, DIGEST_SHA256);
	hasher_update(&hasher, cluster->address, strlen(cluster->address) + 1);
	hasher_update(&hasher, news->upstream, strlen(news->upstream) + 1);
	hasher_update(&hasher, news->credential, strlen(news->credential) + 1);
	hasher_update(&hasher, mirror, strlen(mirror) + 1);
	hasher_finish(&hasher, &digest);
	digest_format_hex(&digest, text);
	memcpy(name, text, NOTE_NAME_SIZE - 1);
	name[NOTE_NAME_SIZE - 1] = '\0';
}

static bool about_same(int64_t a, int64_t b)
{
	return (a == 0) == (b == 0) && a - b <= SAME_MS && b - a <= SAME_MS;
}

/* Worth a note: it differs from what was told, or that is about to expire. */
static bool is_due(struct news_told *told, const struct upstream_news *news, int64_t now)
{
	struct news_told next = {
		.open_until = news->open_ms ? now + news->open_ms : 0,
		.throttled_until = news->throttled_ms ? now + news->throttled_ms : 0,
		.read_at = news->has_remaining ? now - news->remaining_ago_ms : 0,
		.remaining = news->remaining,
	};
	bool paused = next.open_until || next.throttled_until;
	bool changed = !about_same(next.open_until, told->open_until) ||
		       !about_same(next.throttled_until, told->throttled_until) ||
		       next.remaining != told->remaining;

	/* readings come with every request: not each is worth a note at once */
	if (!changed &&
	    !(now >= told->repeat_at && (paused || next.read_at > told->read_at + SAME_MS)))
		return false;
	told->open_until = next.open_until;
	told->throttled_until = next.throttled_until;
	told->read_at = next.read_at;
	told->remaining = next.remaining;
	told->repeat_at = now + REPEAT_MS;
	return true;
}

static void tell(void *context, const struct upstream_news *news)
{
	struct telling *telling = context;
	struct cluster *cluster = telling->cluster;
	struct buf json = BUF_INIT(JSON_MAX);
	struct upstream_news shorter = *news;
	char name[NOTE_NAME_SIZE];
	struct news_told *told;

	note_name(cluster, news, name);
	HASH_FIND_STR(cluster->told, name, told);
	if (!told) {
		told = xcalloc(1, sizeof(*told));
		memcpy(told->name, name, sizeof(name));
		HASH_ADD_STR(cluster->told, name, told);
	}
	if (!is_due(told, news, telling->now))
		return;
	if (!news_format(news, &json)) {
		buf_reset(&json);
		shorter.reason[0] = '\0';
	}
	if (json.length > 0 || news_format(&shorter, &json))
		put_note(cluster, NEWS_GROUP_UPSTREAMS, name, buf_string(&json), NEWS_TTL_MS);
	buf_release(&json);
}

/* ---- heeding ----------------------------------------------------------- */

struct heeding {
	struct cluster *cluster;
	struct upstream_set *set;
	unsigned replicas;
};

static bool count_replica(void *context, const char *name, const char *value, int64_t age_ms)
{
	struct heeding *heeding = context;

	if (age_ms <= ALIVE_TTL_MS && strcmp(name, heeding->cluster->address) != 0 &&
	    check_note(heeding->cluster, NEWS_GROUP_REPLICAS, name, value))
		heeding->replicas++;
	return true;
}

static bool heed_note(void *context, const char *name, const char *value, int64_t age_ms)
{
	struct heeding *heeding = context;
	const char *json = check_note(heeding->cluster, NEWS_GROUP_UPSTREAMS, name, value);
	struct upstream_news news;
	char ours[NOTE_NAME_SIZE];

	if (!json || !news_parse(json, strlen(json), age_ms > 0 ? age_ms : 0, &news))
		return true;
	note_name(heeding->cluster, &news, ours);
	if (strcmp(ours, name) != 0)
		upstream_set_heed(heeding->set, &news);
	return true;
}

/* Replicas that cannot be counted now are still there, most likely. */
static void set_replicas(struct cluster *cluster, unsigned replicas)
{
	unsigned before = atomic_exchange(&cluster->replicas, replicas);

	metric_set(M_CLUSTER_REPLICAS, replicas, NULL);
	if (before != replicas)
		log_event(LOG_INFO, "replicas", LOG_I("count", replicas), LOG_I("before", before));
}

static struct upstream_set *take_set(struct cluster *cluster)
{
	struct upstream_set *set;

	pthread_mutex_lock(&cluster->lock);
	set = cluster->upstreams ? upstream_set_ref(cluster->upstreams) : NULL;
	pthread_mutex_unlock(&cluster->lock);
	return set;
}

static void look_at_others(struct cluster *cluster, struct upstream_set *set)
{
	struct heeding heeding = {.cluster = cluster, .set = set, .replicas = 1};

	if (coordination_list_notes(cluster->coordination, NEWS_GROUP_REPLICAS, count_replica,
				    &heeding, NULL) == BW_OK)
		set_replicas(cluster, heeding.replicas);
	if (set)
		coordination_list_notes(cluster->coordination, NEWS_GROUP_UPSTREAMS, heed_note,
					&heeding, NULL);
}

static void look_at_secret(struct cluster *cluster)
{
	struct error error = {0};

	if (cluster_look_at_secret(cluster, &error) != BW_OK)
		log_event(LOG_WARNING, "the cluster's secret was not read again",
			  LOG_S("err.message", error.message));
}

void news_round(struct cluster *cluster)
{
	struct telling telling = {.cluster = cluster, .now = clock_monotonic_ms()};
	struct upstream_set *set = take_set(cluster);

	if (set)
		upstream_set_tell(set, tell, &telling);
	if (telling.now >= cluster->next_alive_ms) {
		cluster->next_alive_ms = telling.now + ALIVE_MS;
		put_note(cluster, NEWS_GROUP_REPLICAS, cluster->address, "{}", ALIVE_TTL_MS);
	}
	if (telling.now >= cluster->next_list_ms) {
		cluster->next_list_ms = telling.now + LIST_MS;
		look_at_secret(cluster);
		look_at_others(cluster, set);
	}
	upstream_set_unref(set);
}

void *news_run(void *argument)
{
	struct cluster *cluster = argument;

	do {
		news_round(cluster);
	} while (cluster_pause(cluster, LOOK_MS));
	/* goodbye: the others' shares grow at once */
	coordination_put_note(cluster->coordination, NEWS_GROUP_REPLICAS, cluster->address, "-", 1,
			      NULL);
	return NULL;
}

void news_release(struct cluster *cluster)
{
	struct news_told *told, *next;

	HASH_ITER (hh, cluster->told, told, next) {
		HASH_DEL(cluster->told, told);
		free(told);
	}
}
