#include "server/config/config.h"

#include "server/base/buf.h"
#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/config/check.h"
#include "server/config/defaults.h"
#include "server/config/environment.h"
#include "server/config/loader.h"
#include "server/config/node.h"
#include "server/config/problems.h"
#include "server/config/string_list.h"

#include <string.h>

#define FILE_MAX_BYTES ((size_t)1 << 20)

static struct config *config_new(const char *source)
{
	struct config *config = xcalloc(1, sizeof(*config));

	config->references = 1;
	config->source = xstrdup(source);
	return config;
}

struct config *config_ref(struct config *config)
{
	config->references++;
	return config;
}

void config_unref(struct config *config)
{
	if (!config || --config->references > 0)
		return;
	loader_release(config);
	string_list_release(&config->warnings);
	free(config->source);
	free(config);
}

/* Everything from the text to the checked configuration. */
static struct config *build(const char *text, size_t length, char *const *environment,
			    struct problems *problems)
{
	struct node *root = node_parse(text, length, problems);
	struct string_list names = {0};
	struct config *config;

	if (!root)
		return NULL;
	config = config_new(problems->source);
	environment_apply(environment, root, problems, &names, &config->warnings);
	loader_fill(config, root, problems);
	defaults_complete(config, node_get(node_get(root, "proxy"), "upstreams"));
	check_config(config, root, problems);
	string_list_release(&names);
	node_free(root);
	return config;
}

static enum status load_text(const char *source, const char *text, size_t length,
			     char *const *environment, struct config **ret,
			     struct buf *ret_problems)
{
	struct problems problems;
	struct config *config;
	enum status status = BW_OK;

	problems_init(&problems, source);
	config = build(text, length, environment, &problems);
	if (problems.count > 0) {
		problems_write(&problems, ret_problems);
		status = BW_INVALID;
	}
	problems_release(&problems);
	if (status == BW_OK)
		*ret = config;
	else
		config_unref(config);
	return status;
}

enum status config_load(const char *path, char *const *environment, struct config **ret,
			struct buf *ret_problems)
{
	struct error error = {0};
	enum status status;
	size_t length;
	char *text;

	if (!path)
		return load_text("built-in defaults", defaults_file, strlen(defaults_file),
				 environment, ret, ret_problems);
	if (file_read(path, FILE_MAX_BYTES, &text, &length, &error) != BW_OK) {
		buf_printf(ret_problems, "the configuration cannot be read: %s\n", error.message);
		return BW_INVALID;
	}
	status = load_text(path, text, length, environment, ret, ret_problems);
	explicit_bzero(text, length);
	free(text);
	return status;
}
