/*
 * A configuration file: refused with a list of lines, or complete.
 */
#include "tests/fuzz/fuzz.h"

#include "server/base/buf.h"
#include "server/base/file.h"
#include "server/config/config.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The file the loader reads: memory, behind a path. */
static const char *write_file(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("config", MFD_CLOEXEC);
		CHECK(fd >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	CHECK(ftruncate(fd, 0) == 0 && file_pwrite_all(fd, data, size, 0) == 0);
	return path;
}

static void check_upstream(const struct upstream_config *upstream)
{
	CHECK(upstream->name && upstream->name[0] && upstream->urls.count > 0);
	CHECK(upstream->tls.ca_file && upstream->timeouts.connect_ms > 0);
	for (size_t i = 0; i < upstream->urls.count; i++)
		CHECK(strncmp(upstream->urls.items[i], "http", 4) == 0);
	for (size_t i = 0; i < upstream->credential_count; i++) {
		const struct credential_rule *rule = &upstream->credentials[i];

		CHECK(rule->match[0] && rule->use.count == 1);
		CHECK(rule->credential || strcmp(rule->use.items[0], "anonymous") == 0);
	}
}

static void check_config(struct config *config)
{
	CHECK(config->version == 1 && config->http.threads >= 2);
	CHECK(config->http.address[0] && config->http.admin_address[0]);
	CHECK(config->http.external_url && config->proxy.default_upstream);
	for (size_t i = 0; i < config->credential_count; i++)
		CHECK(config->credentials[i].username[0] && config->credentials[i].password[0]);
	for (size_t i = 0; i < config->proxy.upstream_count; i++)
		check_upstream(&config->proxy.upstreams[i]);
	config_refuses_to_listen(config, NULL);
	config_unref(config);
}

static char *const environment[] = {
	(char *)"BREAKWATER_LOG_LEVEL=debug",
	(char *)"BREAKWATER_PROXY_UPSTREAMS_DOCKER_IO_MANIFESTTTL=5m",
	(char *)"BREAKWATER_CREDENTIALS_A_USERNAME=u",
	NULL,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf problems = BUF_INIT((size_t)1 << 20);
	const char *path = write_file(data, size);
	struct config *config;

	if (config_load(path, environment, &config, &problems) == BW_OK) {
		CHECK(problems.length == 0);
		check_config(config);
	} else {
		CHECK(problems.length > 0 && !problems.overflow);
		CHECK(problems.data[problems.length - 1] == '\n');
	}
	buf_release(&problems);
	return 0;
}
