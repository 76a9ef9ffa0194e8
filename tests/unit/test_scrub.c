/*
 * Scrubbing: what is damaged is found, and with quarantine out of the way.
 */
#include "server/maintenance/scrub.h"
#include "tests/support/content_fixture.h"

#define BYTES "what was pushed"

struct found {
	unsigned count;
	enum scrub_fault fault;
	char key[KEY_SIZE];
	size_t repositories;
	bool quarantined;
	bool detailed;
};

static void on_finding(void *context, const struct scrub_finding *finding)
{
	struct found *found = context;

	found->count++;
	found->fault = finding->fault;
	found->repositories = finding->repository_count;
	found->quarantined = finding->quarantined;
	found->detailed = *finding->detail != '\0';
	str_copy(found->key, sizeof(found->key), finding->key);
}

static enum status run(struct fixture *fixture, bool quarantine, struct found *found,
		       struct scrub_summary *summary)
{
	struct scrub_options options = {
		.quarantine = quarantine, .found = on_finding, .context = found};
	struct task task = {0};

	*found = (struct found){0};
	return scrub(fixture->content, &options, &task, summary, NULL);
}

static void push(struct fixture *fixture, char key[KEY_SIZE], struct digest *digest)
{
	digest_of(DIGEST_SHA256, BYTES, strlen(BYTES), digest);
	key_of_blob(key, digest);
	assert_int_equal(push_bytes(fixture, HERE, BYTES, strlen(BYTES), NULL), BW_OK);
}

static void what_is_good_is_not_reported(void **state)
{
	struct fixture *fixture = *state;
	struct scrub_summary summary;
	struct digest digest;
	struct found found;
	char key[KEY_SIZE];

	push(fixture, key, &digest);
	put_image(fixture, ELSEWHERE);
	assert_int_equal(run(fixture, true, &found, &summary), BW_OK);
	assert_int_equal(found.count, 0);
	assert_int_equal(summary.blobs, 2);
	assert_int_equal(summary.bytes, strlen(BYTES) + strlen(fixture->body));
	assert_int_equal(summary.records, 2);
}

static void a_flipped_bit_is_found_and_moved(void **state)
{
	struct fixture *fixture = *state;
	struct scrub_summary summary;
	struct object_info info;
	struct digest digest;
	struct found found;
	char key[KEY_SIZE];
	uint64_t size;

	push(fixture, key, &digest);
	assert_int_equal(object_put(fixture->objects, key, "what was pusheD", strlen(BYTES),
				    PUT_REPLACE, NULL),
			 BW_OK);
	assert_int_equal(run(fixture, false, &found, &summary), BW_OK);
	assert_int_equal(found.count, 1);
	assert_int_equal(found.fault, SCRUB_DAMAGED);
	assert_string_equal(found.key, key);
	assert_int_equal(found.repositories, 1);
	assert_false(found.quarantined);
	assert_int_equal(object_stat(fixture->objects, key, &info, NULL), BW_OK);

	assert_int_equal(run(fixture, true, &found, &summary), BW_OK);
	assert_true(found.quarantined);
	assert_false(found.detailed);
	assert_int_equal(summary.quarantined, 1);
	assert_int_equal(object_stat(fixture->objects, key, &info, NULL), BW_ABSENT);
	assert_int_equal(count_keys(fixture, "quarantine/sha256/"), 1);
	assert_int_equal(count_keys(fixture, "gc/"), 0);
	assert_int_equal(metadata_get_blob(fixture->metadata, &digest, &size, NULL), BW_ABSENT);

	/* and now its link has no bytes, until they are pushed again */
	assert_int_equal(run(fixture, true, &found, &summary), BW_OK);
	assert_int_equal(found.fault, SCRUB_BYTES_GONE);
	push(fixture, key, &digest);
	assert_int_equal(run(fixture, true, &found, &summary), BW_OK);
	assert_int_equal(found.count, 0);
}

static void what_a_push_left_unfinished_is_not_bad(void **state)
{
	struct fixture *fixture = *state;
	struct scrub_summary summary;
	struct digest digest;
	struct found found;
	char key[KEY_SIZE];

	push(fixture, key, &digest);
	assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
	assert_int_equal(metadata_remove_link(fixture->metadata, HERE, &digest, NULL), BW_OK);
	assert_int_equal(run(fixture, false, &found, &summary), BW_OK);
	assert_int_equal(found.count, 0);
	assert_int_equal(summary.unfinished, 1);
}

/* Clients do not push what they are told is there. */
static void bytes_that_are_gone_can_be_pushed_again(void **state)
{
	struct fixture *fixture = *state;
	struct scrub_summary summary;
	struct digest digest;
	struct found found;
	char key[KEY_SIZE];
	uint64_t size;

	push(fixture, key, &digest);
	assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
	assert_int_equal(run(fixture, false, &found, &summary), BW_OK);
	assert_int_equal(found.fault, SCRUB_BYTES_GONE);
	assert_int_equal(content_stat_blob(fixture->content, &digest, &size, NULL), BW_ABSENT);
}

static void a_manifest_without_its_body_is_found(void **state)
{
	struct fixture *fixture = *state;
	struct scrub_summary summary;
	struct found found;
	char key[KEY_SIZE];

	put_image(fixture, HERE);
	key_of_blob(key, &fixture->image);
	assert_int_equal(object_remove(fixture->objects, key, NULL), BW_OK);
	assert_int_equal(run(fixture, false, &found, &summary), BW_OK);
	assert_int_equal(found.fault, SCRUB_BODY_GONE);
}

static void a_record_that_is_none_is_found(void **state)
{
	struct fixture *fixture = *state;
	struct scrub_summary summary;
	struct found found;
	char key[KEY_SIZE];

	put_image(fixture, HERE);
	key_of_manifest(key, HERE, &fixture->image);
	assert_int_equal(object_put(fixture->objects, key, "{", 1, PUT_REPLACE, NULL), BW_OK);
	assert_int_equal(run(fixture, false, &found, &summary), BW_OK);
	assert_int_equal(found.count, 1);
	assert_int_equal(found.fault, SCRUB_UNREADABLE);
	assert_string_equal(found.key, key);
}

static void heal(struct fixture *fixture)
{
	struct digest digest;
	char key[KEY_SIZE];

	digest_of(DIGEST_SHA256, BYTES, strlen(BYTES), &digest);
	key_of_blob(key, &digest);
	assert_int_equal(object_put(fixture->objects, key, BYTES, strlen(BYTES), PUT_REPLACE, NULL),
			 BW_OK);
}

/* Somebody has put the right bytes there between our two looks. */
static void what_heals_meanwhile_stays(void **state)
{
	struct fixture *fixture = *state;
	struct intrusion intrusion = {fixture, "put", "gc/condemned/", heal, 1};
	struct scrub_summary summary;
	struct object_info info;
	struct digest digest;
	struct found found;
	char key[KEY_SIZE];

	push(fixture, key, &digest);
	assert_int_equal(object_put(fixture->objects, key, "cut", 3, PUT_REPLACE, NULL), BW_OK);
	fixture->hooks.before = intrude;
	fixture->hooks.context = &intrusion;
	assert_int_equal(run(fixture, true, &found, &summary), BW_OK);
	fixture->hooks.before = NULL;
	assert_int_equal(intrusion.times, 0);
	assert_false(found.quarantined);
	assert_int_equal(object_stat(fixture->objects, key, &info, NULL), BW_OK);
	assert_int_equal(info.size, strlen(BYTES));
}

static void a_store_that_is_down_is_no_finding(void **state)
{
	struct fixture *fixture = *state;
	struct scrub_summary summary;
	struct digest digest;
	struct found found;
	char key[KEY_SIZE];

	push(fixture, key, &digest);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const actions[] = {"list", NULL, "stat"};

		make_fail(&fixture->object_faults, actions[i], BW_UNREACHABLE);
		assert_int_not_equal(run(fixture, true, &found, &summary), BW_OK);
		assert_int_equal(found.count, 0);
	}
	make_fail(&fixture->object_faults, NULL, BW_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_good_is_not_reported),
		TEST(a_flipped_bit_is_found_and_moved),
		TEST(what_a_push_left_unfinished_is_not_bad),
		TEST(bytes_that_are_gone_can_be_pushed_again),
		TEST(a_manifest_without_its_body_is_found),
		TEST(a_record_that_is_none_is_found),
		TEST(what_heals_meanwhile_stays),
		TEST(a_store_that_is_down_is_no_finding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
