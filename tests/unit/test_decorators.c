/* The stores that measure and the stores that fail on purpose. That they are
 * otherwise as good as what is inside, the contract suites show. */
#include "backends/decorators/faulty_store.h"
#include "backends/decorators/metered_store.h"
#include "backends/mem/mem_metadata_store.h"
#include "backends/mem/mem_object_store.h"
#include "server/base/buf.h"
#include "server/base/memory.h"
#include "server/base/metrics.h"
#include "tests/support/support.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static double errors_of(const char *action)
{
	return metric_value(M_STORAGE_ERRORS, METRIC_LABELS("memory", action));
}

/* How often the action was timed, as Prometheus reads it. */
static void assert_timed(const char *action, unsigned times)
{
	struct buf text = BUF_INIT(1 << 20);
	struct buf line = BUF_INIT(200);

	metrics_write(&text);
	buf_printf(&line,
		   "registry_storage_action_seconds_count{store=\"memory\",action=\"%s\"} %u\n",
		   action, times);
	if (!strstr(buf_string(&text), buf_string(&line)))
		fail_msg("no line %s", buf_string(&line));
	buf_release(&line);
	buf_release(&text);
}

static void every_action_on_objects_is_timed(void **state)
{
	struct object_store *store = metered_object_store_new(mem_object_store_new());
	struct object_writer *writer;
	struct object_reader *reader;
	struct object_info info;
	char byte;
	size_t got;

	(void)state;
	assert_string_equal(store->ops->name, "memory");
	assert_int_equal(object_create(store, "k", &writer, NULL), BW_OK);
	assert_int_equal(object_write(writer, "x", 1, NULL), BW_OK);
	assert_int_equal(object_write(writer, "y", 1, NULL), BW_OK);
	assert_int_equal(object_commit(writer, NULL), BW_OK);
	assert_int_equal(object_open(store, "k", &reader, NULL), BW_OK);
	assert_int_equal(object_read(reader, 0, &byte, 1, DEADLINE_NEVER, &got, NULL), BW_OK);
	object_close(reader);
	assert_int_equal(object_stat(store, "k", &info, NULL), BW_OK);
	assert_int_equal(object_stat(store, "none", &info, NULL), BW_ABSENT);
	assert_timed("create", 1);
	assert_timed("write", 2);
	assert_timed("commit", 1);
	assert_timed("open", 1);
	assert_timed("read", 1);
	assert_timed("stat", 2);
	object_store_free(store);
}

static void only_what_could_not_tell_counts_as_an_error(void **state)
{
	struct fault_plan plan = {.action = "get_tag", .every = 1};
	struct metadata_store *store = metered_metadata_store_new(
		faulty_metadata_store_new(mem_metadata_store_new(), &plan));
	static const enum status told[] = {BW_ABSENT, BW_CONFLICT, BW_INVALID, BW_TOO_LARGE,
					   BW_CANCELLED};
	static const enum status not_told[] = {BW_UNAVAILABLE, BW_UNREACHABLE, BW_TIMEOUT,
					       BW_CORRUPT,     BW_NO_SPACE,    BW_IO};
	struct tag_entry entry;

	(void)state;
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		plan.status = told[i];
		assert_int_equal(metadata_get_tag(store, "a", "v1", &entry, NULL), told[i]);
	}
	assert_true(errors_of("get_tag") == 0);
	for (size_t i = 0; i < sizeof(not_told) / sizeof(not_told[0]); i++) {
		plan.status = not_told[i];
		assert_int_equal(metadata_get_tag(store, "a", "v1", &entry, NULL), not_told[i]);
		assert_true(errors_of("get_tag") == (double)(i + 1));
	}
	assert_timed("get_tag", 11);
	metadata_store_free(store);
}

static void each_nth_call_fails(void **state)
{
	struct fault_plan plan = {.status = BW_IO};
	struct metadata_store *store = faulty_metadata_store_new(mem_metadata_store_new(), &plan);
	unsigned failed = 0;

	(void)state;
	assert_int_equal(metadata_check(store, NULL), BW_OK);
	plan.calls = 0;
	plan.every = 3;
	for (unsigned i = 1; i <= 9; i++) {
		struct error error = {0};
		enum status status = metadata_check(store, &error);

		assert_int_equal(status, i % 3 ? BW_OK : BW_IO);
		assert_int_equal(error.code, status);
		failed += status != BW_OK;
	}
	assert_int_equal(failed, 3);
	assert_int_equal(plan.failed, 3);
	assert_int_equal(plan.calls, 9);
	metadata_store_free(store);
}

static void only_the_action_chosen_fails(void **state)
{
	struct fault_plan plan = {.status = BW_UNAVAILABLE, .action = "put", .every = 1};
	struct object_store *store = faulty_object_store_new(mem_object_store_new(), &plan);
	struct object_info info;

	(void)state;
	assert_int_equal(object_put(store, "k", "x", 1, PUT_REPLACE, NULL), BW_UNAVAILABLE);
	assert_int_equal(object_stat(store, "k", &info, NULL), BW_ABSENT);
	plan.every = 0;
	assert_int_equal(object_put(store, "k", "x", 1, PUT_REPLACE, NULL), BW_OK);
	object_store_free(store);
}

static void a_commit_made_to_fail_leaves_nothing(void **state)
{
	struct fault_plan plan = {.status = BW_NO_SPACE, .action = "commit", .every = 1};
	struct object_store *store = faulty_object_store_new(mem_object_store_new(), &plan);
	struct object_writer *writer;
	struct object_info info;

	(void)state;
	assert_int_equal(object_create(store, "k", &writer, NULL), BW_OK);
	assert_int_equal(object_write(writer, "x", 1, NULL), BW_OK);
	assert_int_equal(object_commit(writer, NULL), BW_NO_SPACE);
	assert_int_equal(object_stat(store, "k", &info, NULL), BW_ABSENT);
	object_store_free(store);
}

static void a_read_made_to_fail_gives_nothing(void **state)
{
	struct fault_plan plan = {.status = BW_TIMEOUT, .action = "read", .every = 1};
	struct object_store *store = faulty_object_store_new(mem_object_store_new(), &plan);
	size_t length = 77;
	char *bytes = NULL;

	(void)state;
	assert_int_equal(object_put(store, "k", "x", 1, PUT_REPLACE, NULL), BW_OK);
	assert_int_equal(object_get(store, "k", 10, &bytes, &length, NULL), BW_TIMEOUT);
	assert_null(bytes);
	assert_int_equal(length, 77);
	object_store_free(store);
}

/* What is copied by the wrapper fails as a whole when any of its steps does. */
static void a_copy_that_fails_midway_keeps_the_file(void **state)
{
	static const char *const steps[] = {"stat", "create", "write", "commit"};
	struct fault_plan plan = {.status = BW_IO, .every = 1};
	struct object_store *store = faulty_object_store_new(mem_object_store_new(), &plan);
	struct object_store_ops ops = *store->ops;
	struct object_info info;
	char *scratch = scratch_make();
	char *path = xasprintf("%s/spooled", scratch);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	ops.adopt = NULL;
	store->ops = &ops;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		plan.action = steps[i];
		assert_int_equal(object_adopt(store, "k", path, NULL), BW_IO);
		assert_int_equal(access(path, F_OK), 0);
		plan.action = "none";
		assert_int_equal(object_stat(store, "k", &info, NULL), BW_ABSENT);
	}
	assert_int_equal(object_adopt(store, "k", path, NULL), BW_OK);
	assert_int_equal(access(path, F_OK), -1);
	object_store_free(store);
	free(path);
	scratch_remove(scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_action_on_objects_is_timed),
		cmocka_unit_test(only_what_could_not_tell_counts_as_an_error),
		cmocka_unit_test(each_nth_call_fails),
		cmocka_unit_test(only_the_action_chosen_fails),
		cmocka_unit_test(a_commit_made_to_fail_leaves_nothing),
		cmocka_unit_test(a_read_made_to_fail_gives_nothing),
		cmocka_unit_test(a_copy_that_fails_midway_keeps_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
