/*
 * Every object store there is, for the suites that hold them to one contract.
 * A new one is a function that opens it in an empty state, and a line in the
 * table; where it is not configured on this machine the function says NULL and
 * the suites leave it out.
 */
#ifndef TESTS_SUPPORT_OBJECT_STORES_H
#define TESTS_SUPPORT_OBJECT_STORES_H

#include "backends/decorators/faulty_store.h"
#include "backends/decorators/metered_store.h"
#include "backends/fs/fs_store.h"
#include "backends/mem/mem_object_store.h"
#include "backends/s3/libs3/libs3_store.h"
#include "backends/s3/s3_store.h"
#include "server/base/memory.h"
#include "tests/support/s3_server.h"
#include "tests/support/support.h"

struct object_store_kind {
	const char *name;
	/* `scratch` is an empty folder of this store's own. */
	struct object_store *(*open)(const char *scratch);
};

static inline struct object_store *open_memory(const char *scratch)
{
	(void)scratch;
	return mem_object_store_new();
}

static inline struct object_store *open_filesystem(const char *scratch)
{
	struct object_store *store = NULL;
	struct error error = {0};
	char *root = xasprintf("%s/made/by/the/store", scratch);

	if (fs_store_new(root, &store, &error))
		fail_msg("%s", error.message);
	free(root);
	return store;
}

static inline struct object_store *open_metered_filesystem(const char *scratch)
{
	return metered_object_store_new(open_filesystem(scratch));
}

static inline struct object_store *open_metered_memory(const char *scratch)
{
	return metered_object_store_new(open_memory(scratch));
}

/* With a plan that never fails, a faulty store is as good as the one inside. */
static inline struct object_store *open_faulty_filesystem(const char *scratch)
{
	static struct fault_plan plan;

	return faulty_object_store_new(open_filesystem(scratch), &plan);
}

typedef enum status (*s3_constructor)(const struct s3_options *options,
				      struct object_store **ret_store, struct error *error);

static inline struct object_store *open_s3(const char *variable, s3_constructor construct)
{
	struct object_store *store = NULL;
	char bucket[S3_BUCKET_SIZE];
	struct error error = {0};
	struct s3_server server;
	struct s3_options options = {
		.endpoint = server.endpoint,
		.bucket = bucket,
		.path_style = true,
		.access_key = server.access_key,
		.secret_key = server.secret_key,
		.part_size = (uint64_t)5 << 20,
	};

	s3_server_from_environment(variable, &server);
	s3_server_bucket(&server, bucket);
	if (construct(&options, &store, &error))
		fail_msg("%s", error.message);
	return store;
}

static inline struct object_store *open_minio(const char *scratch)
{
	(void)scratch;
	return open_s3(S3_SERVER_MINIO, s3_store_new);
}

static inline struct object_store *open_rgw(const char *scratch)
{
	(void)scratch;
	return open_s3(S3_SERVER_RGW, s3_store_new);
}

static inline struct object_store *open_libs3_minio(const char *scratch)
{
	(void)scratch;
	return open_s3(S3_SERVER_MINIO, libs3_store_new);
}

static inline struct object_store *open_libs3_rgw(const char *scratch)
{
	(void)scratch;
	return open_s3(S3_SERVER_RGW, libs3_store_new);
}

static const struct object_store_kind object_store_kinds[] = {
	{"memory", open_memory},
	{"filesystem", open_filesystem},
	{"metered memory", open_metered_memory},
	{"metered filesystem", open_metered_filesystem},
	{"faulty filesystem", open_faulty_filesystem},
	{"s3 on MinIO", open_minio},
	{"s3 on Ceph", open_rgw},
	{"libs3 on MinIO", open_libs3_minio},
	{"libs3 on Ceph", open_libs3_rgw},
};

struct object_fixture {
	const struct object_store_kind *kind;
	struct object_store *store;
	char *scratch; /* the store's */
	char *files; /* the test's own */
};

static inline int object_fixture_setup(void **state)
{
	struct object_fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->kind = *state;
	fixture->scratch = scratch_make();
	fixture->files = scratch_make();
	fixture->store = fixture->kind->open(fixture->scratch);
	*state = fixture;
	return 0;
}

static inline int object_fixture_teardown(void **state)
{
	struct object_fixture *fixture = *state;

	object_store_free(fixture->store);
	scratch_remove(fixture->scratch);
	scratch_remove(fixture->files);
	free(fixture);
	return 0;
}

struct object_case {
	const char *name;
	void (*run)(void **state);
};

#define OBJECT_CASE(function) \
	{ \
#function, function \
	}

static inline bool object_store_configured(const struct object_store_kind *kind)
{
	char *scratch = scratch_make();
	struct object_store *store = kind->open(scratch);

	if (!store)
		print_message("left out: %s is not configured here\n", kind->name);
	object_store_free(store);
	scratch_remove(scratch);
	return store != NULL;
}

/* Runs every case over every store; cmocka's exit code. */
static inline int run_over_object_stores(const char *group, const struct object_case *cases,
					 size_t case_count)
{
	struct CMUnitTest *tests =
		xcalloc(case_count * array_size(object_store_kinds), sizeof(*tests));
	size_t count = 0;
	int failed;

	for (size_t k = 0; k < array_size(object_store_kinds); k++) {
		const struct object_store_kind *kind = &object_store_kinds[k];

		if (!object_store_configured(kind))
			continue;
		for (size_t i = 0; i < case_count; i++)
			tests[count++] = (struct CMUnitTest){
				.name = xasprintf("%s: %s", kind->name, cases[i].name),
				.test_func = cases[i].run,
				.setup_func = object_fixture_setup,
				.teardown_func = object_fixture_teardown,
				.initial_state = (void *)kind,
			};
	}
	failed = _cmocka_run_group_tests(group, tests, count, NULL, NULL);
	for (size_t i = 0; i < count; i++)
		free((char *)tests[i].name);
	free(tests);
	return failed;
}

#endif
