/* Links in the Redis index, when the process dies between two steps of one. */
#include "tests/support/redis_server.h"

static bool works(void *context)
{
	return metadata_check(((struct redis_stores *)context)->metadata, NULL) == BW_OK;
}

/* Makes the last step of a link fail: the row of who links the blob is no set. */
static void spoil_links_of(const struct redis_server *server, const struct digest *digest)
{
	char *epoch = redis_server_ask(server, "GET bw:epoch");
	char text[DIGEST_TEXT_SIZE];
	char *command;

	assert_non_null(epoch);
	digest_format(digest, text);
	command = xasprintf("SET bw:k:{%.16s:%s} spoilt", epoch, text);
	redis_server_tell(server, command);
	free(command);
	free(epoch);
}

static bool note_holder(void *context, const char *repository)
{
	*(bool *)context |= strcmp(repository, "team/app") == 0;
	return true;
}

/* A link that is in the index is believed, by the client's next try as well; an eviction
 * that did not know of it would take the bytes. */
static void a_link_is_never_there_without_its_holder(void **state)
{
	struct redis_server server = redis_server_start(NULL);
	struct redis_stores stores = redis_stores_at(server.address, "bw:");
	struct listed_content link = {.size = 5};
	bool held = false;
	uint64_t size = 0;

	(void)state;
	digest_of(DIGEST_SHA256, "bytes", 5, &link.digest);
	await(works, &stores, "Redis");
	spoil_links_of(&server, &link.digest);
	assert_int_not_equal(metadata_put_link(stores.metadata, "team/app", &link, NULL), BW_OK);
	assert_int_equal(metadata_get_link(stores.metadata, "team/app", &link.digest, &size, NULL),
			 BW_OK);
	assert_int_equal(metadata_list_holders_of(stores.metadata, &link.digest, 10, note_holder,
						  &held, NULL),
			 BW_OK);
	assert_true(held);
	metadata_store_free(stores.metadata);
	coordination_free(stores.coordination);
	redis_server_end(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_is_never_there_without_its_holder),
	};

	return cmocka_run_group_tests_name("redis_links", tests, NULL, NULL);
}
