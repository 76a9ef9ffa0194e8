#include "backends/redis/redis_internal.h"

#include "backends/redis/redis_tls.h"
#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_MS 300
#define DEFAULT_CONNECTIONS 64u

/* "host:port", "[v6]:port". */
static enum status parse_host(const char *address, struct redis_host *ret, struct error *error)
{
	size_t length;
	unsigned port;

	if (!address || !str_split_host_port(address, &length, &port))
		return error_set(error, BW_INVALID,
				 "Redis address \"%s\" is not of the form host:port",
				 address ? address : "");
	if (address[0] == '[' && address[length - 1] == ']') {
		address++;
		length -= 2;
	}
	ret->name = xstrndup(address, length);
	snprintf(ret->port, sizeof(ret->port), "%u", port);
	return BW_OK;
}

static enum status parse_hosts(struct redis_settings *settings, const struct redis_options *options,
			       struct error *error)
{
	bool sentinels = options->sentinel_count > 0;
	size_t count = sentinels ? options->sentinel_count : 1;
	enum status status = BW_OK;

	if (sentinels && (!options->master || !*options->master))
		return error_set(error, BW_INVALID,
				 "the sentinels have to be asked for a master by its name");
	settings->hosts = xcalloc(count, sizeof(*settings->hosts));
	for (size_t i = 0; i < count && !status; i++) {
		status = parse_host(sentinels ? options->sentinels[i] : options->address,
				    &settings->hosts[i], error);
		settings->host_count = i + 1;
	}
	if (sentinels) {
		settings->master = xstrdup(options->master);
		settings->title = xasprintf("master \"%s\" of the sentinels", options->master);
	} else {
		settings->title = xasprintf("Redis at %s", options->address);
	}
	return status;
}

static char *copy(const char *string)
{
	return xstrdup(string ? string : "");
}

/* Is it there? It is read again when it is needed. */
static enum status try_password_file(const char *path, struct error *error)
{
	char *text = NULL;
	enum status status = *path ? file_read_secret(path, &text, error) : BW_OK;

	free(text);
	return status;
}

enum status redis_settings_init(struct redis_settings *settings,
				const struct redis_options *options, struct error *error)
{
	enum status status;

	*settings = (struct redis_settings){
		.prefix = xstrdup(options->prefix ? options->prefix : REDIS_PREFIX),
		.username = copy(options->username),
		.password = copy(options->password),
		.password_file = copy(options->password_file),
		.database = options->database,
		.connect_ms = options->connect_ms ? options->connect_ms : DEFAULT_MS,
		.command_ms = options->command_ms ? options->command_ms : DEFAULT_MS,
		.max_connections =
			options->max_connections ? options->max_connections : DEFAULT_CONNECTIONS,
		.on_session = options->on_session,
	};
	if (strpbrk(settings->prefix, "{}*?[]\\ "))
		status = error_set(error, BW_INVALID, "\"%s\" is no prefix for keys",
				   settings->prefix);
	else
		status = parse_hosts(settings, options, error);
	if (!status)
		status = try_password_file(settings->password_file, error);
	if (!status && options->tls) {
		const char *name = options->tls_server_name && *options->tls_server_name
					   ? options->tls_server_name
					   : settings->hosts[0].name;

		status = redis_tls_new(options->tls_ca_file, name, &settings->tls, error);
	}
	if (status)
		redis_settings_release(settings);
	return status;
}

void redis_settings_release(struct redis_settings *settings)
{
	for (size_t i = 0; i < settings->host_count; i++)
		free(settings->hosts[i].name);
	free(settings->hosts);
	free(settings->prefix);
	free(settings->master);
	free(settings->title);
	free(settings->username);
	if (settings->password)
		explicit_bzero(settings->password, strlen(settings->password));
	free(settings->password);
	free(settings->password_file);
	redis_tls_free(settings->tls);
	*settings = (struct redis_settings){0};
}
