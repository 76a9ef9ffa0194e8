/*
 * Every index there is, for the suites that hold them to one contract. A new
 * one is a function that opens it in an empty state, and a line in the table;
 * where it is not configured on this machine the function says NULL and the
 * suites leave it out.
 */
#ifndef TESTS_SUPPORT_METADATA_STORES_H
#define TESTS_SUPPORT_METADATA_STORES_H

#include "backends/decorators/faulty_store.h"
#include "backends/decorators/metered_store.h"
#include "backends/mem/mem_metadata_store.h"
#include "backends/sqlite/sqlite_store.h"
#include "server/base/memory.h"
#include "tests/support/redis_stores.h"
#include "tests/support/support.h"

#include <string.h>

struct metadata_store_kind {
	const char *name;
	/* `scratch` is an empty folder of this store's own. */
	struct metadata_store *(*open)(const char *scratch);
};

static inline struct metadata_store *open_memory(const char *scratch)
{
	(void)scratch;
	return mem_metadata_store_new();
}

static inline struct metadata_store *open_sqlite(const char *scratch)
{
	struct metadata_store *store = NULL;
	struct error error = {0};
	char *path = xasprintf("%s/made/by/the/store/index.db", scratch);

	if (sqlite_store_new(path, &store, NULL, &error))
		fail_msg("%s", error.message);
	free(path);
	return store;
}

static inline struct metadata_store *open_metered_sqlite(const char *scratch)
{
	return metered_metadata_store_new(open_sqlite(scratch));
}

/* With a plan that never fails, a faulty store is as good as the one inside. */
static inline struct metadata_store *open_faulty_sqlite(const char *scratch)
{
	static struct fault_plan plan;

	return faulty_metadata_store_new(open_sqlite(scratch), &plan);
}

static inline struct metadata_store *open_redis(const char *scratch)
{
	(void)scratch;
	return redis_stores_open().metadata;
}

static const struct metadata_store_kind metadata_store_kinds[] = {
	{"memory", open_memory},
	{"sqlite", open_sqlite},
	{"metered sqlite", open_metered_sqlite},
	{"faulty sqlite", open_faulty_sqlite},
	{"redis", open_redis},
};

struct metadata_fixture {
	const struct metadata_store_kind *kind;
	struct metadata_store *store;
	char *scratch;
};

static inline int metadata_fixture_setup(void **state)
{
	struct metadata_fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->kind = *state;
	fixture->scratch = scratch_make();
	fixture->store = fixture->kind->open(fixture->scratch);
	*state = fixture;
	return 0;
}

static inline int metadata_fixture_teardown(void **state)
{
	struct metadata_fixture *fixture = *state;

	metadata_store_free(fixture->store);
	scratch_remove(fixture->scratch);
	free(fixture);
	return 0;
}

struct metadata_case {
	const char *name;
	void (*run)(void **state);
};

#define METADATA_CASE(function) \
	{ \
#function, function \
	}

static inline bool metadata_store_configured(const struct metadata_store_kind *kind)
{
	char *scratch = scratch_make();
	struct metadata_store *store = kind->open(scratch);

	if (!store)
		print_message("left out: %s is not configured here\n", kind->name);
	metadata_store_free(store);
	scratch_remove(scratch);
	return store != NULL;
}

/* Runs every case over every store; cmocka's exit code. */
static inline int run_over_metadata_stores(const char *group, const struct metadata_case *cases,
					   size_t case_count)
{
	struct CMUnitTest *tests =
		xcalloc(case_count * array_size(metadata_store_kinds), sizeof(*tests));
	size_t count = 0;
	int failed;

	for (size_t k = 0; k < array_size(metadata_store_kinds); k++) {
		const struct metadata_store_kind *kind = &metadata_store_kinds[k];

		if (!metadata_store_configured(kind))
			continue;
		for (size_t i = 0; i < case_count; i++)
			tests[count++] = (struct CMUnitTest){
				.name = xasprintf("%s: %s", kind->name, cases[i].name),
				.test_func = cases[i].run,
				.setup_func = metadata_fixture_setup,
				.teardown_func = metadata_fixture_teardown,
				.initial_state = (void *)kind,
			};
	}
	failed = _cmocka_run_group_tests(group, tests, count, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		free((char *)tests[i].name);
	free(tests);
	return failed;
}

static inline struct metadata_store *store_of(void **state)
{
	return ((struct metadata_fixture *)*state)->store;
}

/* What a listing told, as text: "v1 v2 ". It stops after `stop_after` names
 * (0: never). */
struct name_list {
	char text[4096];
	unsigned count;
	unsigned stop_after;
};

static inline bool collect_name(void *context, const char *name)
{
	struct name_list *list = context;
	size_t length = strlen(list->text);

	snprintf(list->text + length, sizeof(list->text) - length, "%s ", name);
	return ++list->count != list->stop_after;
}

/* A repository's name as long as names may be. The caller frees it. */
static inline char *longest_repository(void)
{
	char *name = xcalloc(1, 256);

	for (size_t i = 0; i < 255; i++)
		name[i] = i % 10 == 9 ? '/' : (char)('a' + i % 10);
	return name;
}

#endif
