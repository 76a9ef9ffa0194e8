/*
 * The pieces that are pasted into other programs' configuration.
 */
#include "tests/support/config_file.h"

#include "server/cli/client_snippets.h"

#include <string.h>

#define TWO_UPSTREAMS \
	"proxy: {defaultUpstream: docker.io, upstreams: {docker.io: {}, quay.test: {}}}\n"

static struct buf snippet = {.max = 1 << 16};
static struct error error;

static const char *written(void **state, const char *runtime, const char *config)
{
	const struct client_runtime *found = client_runtime_find(runtime);

	assert_non_null(found);
	buf_reset(&snippet);
	error = (struct error){0};
	if (client_snippet_write(found, config_case_good(*state, config), &snippet, &error) !=
	    BW_OK)
		return NULL;
	return buf_string(&snippet);
}

static void assert_has(const char *text, const char *piece)
{
	if (!strstr(text, piece))
		fail_msg("expected \"%s\" in: %s", piece, text);
}

static void each_says_where_how_to_check_and_how_to_undo(void **state)
{
	static const struct {
		const char *runtime;
		const char *place;
	} runtimes[] = {
		{"containerd", "/etc/containerd/certs.d/_default/hosts.toml"},
		{"docker", "/etc/docker/daemon.json"},
		{"podman", "/etc/containers/registries.conf.d/"},
		{"crio", "/etc/containers/registries.conf.d/"},
		{"k3s", "/etc/rancher/k3s/registries.yaml"},
	};

	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
		const char *text = written(state, runtimes[i].runtime, TWO_UPSTREAMS);

		assert_has(text, runtimes[i].place);
		assert_has(text, "# Check: ");
		assert_has(text, "http://127.0.0.1:5001/metrics");
		assert_has(text, "# Undo: ");
		assert_has(text, "127.0.0.1:5000");
	}
	assert_null(client_runtime_find("lxd"));
}

static void containerd_may_only_pull_and_resolve(void **state)
{
	const char *text = written(state, "containerd", TWO_UPSTREAMS);

	assert_has(text, "\n[host.\"http://127.0.0.1:5000\"]\n"
			 "  capabilities = [\"pull\", \"resolve\"]\n");
	assert_has(text, "config_path = \"/etc/containerd/certs.d\"");
	assert_null(strstr(text, "skip_verify"));
	assert_null(strstr(text, "\nserver"));
}

static void docker_needs_a_default_upstream(void **state)
{
	assert_null(strstr(written(state, "docker", TWO_UPSTREAMS), "defaultUpstream"));
	assert_has(buf_string(&snippet), "\n{\n  \"registry-mirrors\": "
					 "[\"http://127.0.0.1:5000\"]\n}\n");
	assert_has(written(state, "docker", "proxy: {upstreams: {docker.io: {}}}\n"),
		   "#   proxy: {defaultUpstream: docker.io}\n");
}

static void podman_has_a_mirror_per_upstream(void **state)
{
	const char *text = written(state, "podman", TWO_UPSTREAMS);

	assert_has(text, "\n[[registry]]\nprefix = \"quay.test\"\nlocation = \"quay.test\"\n"
			 "[[registry.mirror]]\nlocation = \"127.0.0.1:5000/quay.test\"\n"
			 "insecure = true\n");
	assert_has(text, "location = \"127.0.0.1:5000/docker.io\"\n");
	text = written(state, "crio", "http: {externalURL: \"https://c.test\"}\n" TWO_UPSTREAMS);
	assert_has(text, "location = \"c.test/docker.io\"\n");
	assert_null(strstr(text, "insecure"));
}

static void the_external_url_goes_before_the_address(void **state)
{
	static const char config[] = "http: {externalURL: \"https://c.test/sub\"}\n" TWO_UPSTREAMS;

	assert_has(written(state, "containerd", config), "[host.\"https://c.test/sub\"]");
	assert_has(written(state, "k3s", config), "- \"https://c.test/sub/v2\"\n");
	assert_null(written(state, "docker", config));
	assert_has(error.message, "http.externalURL has a path");
	assert_null(written(state, "podman", config));
}

static void an_address_nobody_can_dial_is_explained(void **state)
{
	static const char *const addresses[] = {":80", "0.0.0.0:80", "[::]:80"};
	char config[128];

	for (size_t i = 0; i < 3; i++) {
		snprintf(config, sizeof(config), "http: {address: \"%s\"}\nauth: none\n",
			 addresses[i]);
		assert_has(written(state, "k3s", config), "Set http.externalURL");
		assert_has(buf_string(&snippet), "- \"http://127.0.0.1:80\"\n");
	}
	assert_has(written(state, "k3s", "http: {address: \"10.1.2.3:80\"}\n"),
		   "- \"http://10.1.2.3:80\"\n");
	assert_null(strstr(buf_string(&snippet), "loopback"));
	assert_null(written(state, "k3s", "http: {address: \"127.0.0.1:0\"}\n"));
}

static int release(void **state)
{
	buf_release(&snippet);
	return config_case_teardown(state);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, config_case_setup, release)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_FOLDER(each_says_where_how_to_check_and_how_to_undo),
		IN_A_FOLDER(containerd_may_only_pull_and_resolve),
		IN_A_FOLDER(docker_needs_a_default_upstream),
		IN_A_FOLDER(podman_has_a_mirror_per_upstream),
		IN_A_FOLDER(the_external_url_goes_before_the_address),
		IN_A_FOLDER(an_address_nobody_can_dial_is_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
