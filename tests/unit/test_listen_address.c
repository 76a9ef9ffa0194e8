#include "server/http/listen_address.h"
#include "tests/support/support.h"

#include <string.h>

static void assert_address(const char *text, const char *host, unsigned port, bool is_ipv6)
{
	struct listen_address address;
	struct error error = {0};

	if (listen_address_resolve("http.address", text, &address, &error) != BW_OK)
		fail_msg("%s: %s", text, error.message);
	assert_string_equal(address.host, host);
	assert_int_equal(address.port, port);
	assert_int_equal(address.is_ipv6, is_ipv6);
	assert_int_equal(address.any, host[0] == '\0');
}

static void reads_addresses(void **state)
{
	(void)state;
	assert_address("127.0.0.1:5000", "127.0.0.1", 5000, false);
	assert_address("0.0.0.0:0", "0.0.0.0", 0, false);
	assert_address("[::1]:5000", "::1", 5000, true);
	assert_address("[0:0:0:0:0:0:0:1]:65535", "::1", 65535, true);
}

static void nobody_means_everybody(void **state)
{
	(void)state;
	assert_address(":5000", "", 5000, false);
	assert_address("[::]:5000", "", 5000, false);
}

static void refuses_the_rest(void **state)
{
	static const char *const texts[] = {
		"",         "127.0.0.1",    "5000",          "127.0.0.1:",      "127.0.0.1:http",
		"::1:5000", "[::1]",        "[::1:5000",     "127.0.0.1:65536", "127.0.0.1:-1",
		"a b:5000", "[127.0.0.1:5", "999.0.0.1:5000"};
	struct listen_address address;
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		error = (struct error){0};
		if (listen_address_resolve("http.address", texts[i], &address, &error) == BW_OK)
			fail_msg("\"%s\" was taken", texts[i]);
		assert_non_null(strstr(error.message, "http.address"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_addresses),
		cmocka_unit_test(nobody_means_everybody),
		cmocka_unit_test(refuses_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
