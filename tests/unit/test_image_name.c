#include "server/cli/image_name.h"
#include "tests/support/support.h"

#include <string.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void assert_image(const char *text, const char *registry, const char *repository,
			 const char *reference)
{
	struct image_name name;
	struct error error = {0};

	if (image_name_parse(text, &name, &error) != BW_OK)
		fail_msg("%s", error.message);
	assert_string_equal(name.registry, registry);
	assert_string_equal(name.repository, repository);
	assert_string_equal(name.reference.text, reference);
}

static void reads_images_as_docker_does(void **state)
{
	(void)state;
	assert_image("alpine", "docker.io", "library/alpine", "latest");
	assert_image("alpine:3.20", "docker.io", "library/alpine", "3.20");
	assert_image("grafana/grafana", "docker.io", "grafana/grafana", "latest");
	assert_image("docker.io/alpine", "docker.io", "library/alpine", "latest");
	assert_image("quay.io/a/b/c:1", "quay.io", "a/b/c", "1");
	assert_image("Quay.IO/a:1", "quay.io", "a", "1");
	assert_image("localhost/a", "localhost", "a", "latest");
	assert_image("localhost:5000/a:V1", "localhost:5000", "a", "V1");
	assert_image("host:5000/a", "host:5000", "a", "latest");
	assert_image("ghcr.io/a@sha256:" HEX, "ghcr.io", "a", "sha256:" HEX);
	assert_image("ghcr.io/a:1@sha256:" HEX, "ghcr.io", "a", "sha256:" HEX);
}

static void refuses_what_is_none(void **state)
{
	static const char *const texts[] = {"",
					    "a b",
					    "UPPER/x:1",
					    "x.test/",
					    "x.test/y:",
					    "x.test/y@",
					    "../x",
					    "/x",
					    "x/",
					    "x.test//y",
					    "x@sha256:12",
					    "x@sha256:" HEX "0",
					    "x:a:b",
					    "https://quay.io/x",
					    "-.x/y",
					    "x.test/y:.a",
					    "x\n",
					    "x@SHA256:" HEX};
	struct image_name name = {.registry = "untouched"};
	struct error error;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		error = (struct error){0};
		if (image_name_parse(texts[i], &name, &error) != BW_INVALID)
			fail_msg("\"%s\" was taken", texts[i]);
		assert_true(error.message[0]);
	}
	assert_string_equal(name.registry, "untouched");
}

static void refuses_what_is_too_long(void **state)
{
	static char text[4096];
	struct image_name name;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	assert_int_equal(image_name_parse(text, &name, NULL), BW_INVALID);
	text[250] = '\0'; /* with "library/" before it, more than a repository may have */
	assert_int_equal(image_name_parse(text, &name, NULL), BW_INVALID);
	text[240] = '\0';
	assert_int_equal(image_name_parse(text, &name, NULL), BW_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_images_as_docker_does),
		cmocka_unit_test(refuses_what_is_none),
		cmocka_unit_test(refuses_what_is_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
