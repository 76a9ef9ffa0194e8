#include "server/config/check.h"

#include "server/base/file.h"
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/config/check_stores.h"
#include "server/config/string_list.h"
#include "server/oci/name.h"

#include <stdio.h>
#include <string.h>

/* A distribution's whole bundle is a quarter of a megabyte. */
#define CA_FILE_MAX ((size_t)4 * 1024 * 1024)

/* A name that exists and is nearest to one that does not. */
struct suggestion {
	const char *wanted;
	const char *nearest; /* NULL: none is near */
	unsigned distance;
};

/* Not so far away that nothing of the name is left. */
static struct suggestion suggestion_for(const char *wanted)
{
	unsigned length = (unsigned)strlen(wanted);
	unsigned far = 2 + length / 3;

	return (struct suggestion){wanted, NULL, far < length ? far : length};
}

static void suggest(struct suggestion *suggestion, const char *name)
{
	unsigned distance = str_distance(suggestion->wanted, name);

	if (distance >= suggestion->distance)
		return;
	suggestion->nearest = name;
	suggestion->distance = distance;
}

/* Adds "; did you mean ...?" when there is something to be meant. */
static void unknown_name(const struct suggestion *suggestion, const char *of, struct error *error)
{
	if (suggestion->nearest)
		error_set(error, BW_INVALID, "\"%.80s\" is not one of %s; did you mean \"%.80s\"?",
			  suggestion->wanted, of, suggestion->nearest);
	else
		error_set(error, BW_INVALID, "\"%.80s\" is not one of %s", suggestion->wanted, of);
}

static void read_password(struct credential_config *credential, const struct node *node,
			  struct problems *problems)
{
	struct error error = {0};
	char *password;

	if (file_read_secret(credential->password_file, &password, &error) != BW_OK) {
		problems_add(problems, node_member_mark(node, "passwordFile"),
			     "credentials.%s.passwordFile: %s", credential->name, error.message);
		return;
	}
	free(credential->password);
	credential->password = password;
}

static void check_credential(struct credential_config *credential, const struct node *node,
			     struct problems *problems)
{
	const char *name = credential->name;

	if (strcmp(name, "anonymous") == 0) {
		problems_add(problems, node->key_mark,
			     "credentials.anonymous: the name means \"no credential\"; choose "
			     "another one");
		return;
	}
	/* what is missing from a credential of another kind is not worth a word */
	if (node_get(node, "dockerConfigFile") || node_get(node, "exec"))
		return;
	if (*credential->username == '\0')
		problems_add(problems, node_member_mark(node, "username"),
			     "credentials.%s.username: it is missing or empty", name);
	else if (strchr(credential->username, ':'))
		problems_add(problems, node_member_mark(node, "username"),
			     "credentials.%s.username: a user name cannot have a ':'", name);
	if (node_get(node, "password") && node_get(node, "passwordFile"))
		problems_add(problems, node_member_mark(node, "passwordFile"),
			     "credentials.%s: both password and passwordFile; remove one", name);
	else if (!node_get(node, "password") && !node_get(node, "passwordFile"))
		problems_add(problems, node->key_mark,
			     "credentials.%s: neither password nor passwordFile", name);
	else if (*credential->password_file)
		read_password(credential, node, problems);
}

static const struct credential_config *find_credential(const struct config *config,
						       const char *name, struct error *error)
{
	struct suggestion suggestion = suggestion_for(name);

	for (size_t i = 0; i < config->credential_count; i++) {
		if (strcmp(config->credentials[i].name, name) == 0)
			return &config->credentials[i];
		suggest(&suggestion, config->credentials[i].name);
	}
	unknown_name(&suggestion, "`credentials`", error);
	return NULL;
}

/* Resolves the one name a rule uses; false fills the error. */
static bool resolve_use(const struct config *config, struct credential_rule *rule,
			struct error *error)
{
	const char *name;

	if (rule->use.count != 1) {
		error_set(error, BW_UNSUPPORTED, "%s",
			  rule->use.count ? "more than one credential for a rule is not supported "
					    "yet by this version"
					  : "it names no credential; \"anonymous\" is one, too");
		return false;
	}
	name = rule->use.items[0];
	if (strcmp(name, "anonymous") == 0)
		return true;
	rule->credential = find_credential(config, name, error);
	return rule->credential != NULL;
}

static void check_rule(const struct config *config, struct upstream_config *upstream, size_t index,
		       const struct node *node, struct problems *problems)
{
	struct credential_rule *rule = &upstream->credentials[index];
	const struct node *use = node_get(node, "use");
	struct error error = {0};

	/* when it is missing, or no list, that has been said */
	if (use && use->kind == NODE_LIST && !resolve_use(config, rule, &error))
		problems_add(problems, use->mark, "proxy.upstreams.%s.credentials[%zu].use: %s",
			     upstream->name, index, error.message);
	for (size_t i = 0; i < index; i++)
		if (*rule->match && strcmp(upstream->credentials[i].match, rule->match) == 0)
			problems_add(problems, node_member_mark(node, "match"),
				     "proxy.upstreams.%s.credentials[%zu].match: the same as in "
				     "an earlier rule",
				     upstream->name, index);
}

/* A name that requests may find an upstream by. */
struct known_name {
	const char *name;
	struct mark mark;
};

static int compare_names(const void *left, const void *right)
{
	const struct known_name *a = left;
	const struct known_name *b = right;
	int order = strcmp(a->name, b->name);

	if (order != 0)
		return order;
	return (a->mark.line > b->mark.line) - (a->mark.line < b->mark.line);
}

static size_t count_names(const struct config *config)
{
	size_t count = config->proxy.upstream_count;

	for (size_t i = 0; i < config->proxy.upstream_count; i++)
		count += config->proxy.upstreams[i].aliases.count;
	return count;
}

/* Sorted, because a file may hold tens of thousands of them. */
static void check_unique_names(const struct config *config, const struct node *upstreams,
			       struct problems *problems)
{
	size_t count = count_names(config);
	struct known_name *names = xcalloc(count + 1, sizeof(*names));
	size_t n = 0;

	for (size_t i = 0; i < config->proxy.upstream_count; i++) {
		const struct upstream_config *upstream = &config->proxy.upstreams[i];
		const struct node *node = upstreams->items[i];

		names[n++] = (struct known_name){upstream->name, node->key_mark};
		for (size_t j = 0; j < upstream->aliases.count; j++)
			names[n++] = (struct known_name){upstream->aliases.items[j],
							 node_member_mark(node, "aliases")};
	}
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 1; i < n; i++)
		if (strcmp(names[i - 1].name, names[i].name) == 0)
			problems_add(problems, names[i].mark,
				     "proxy.upstreams: %s is the name or alias of two upstreams",
				     names[i].name);
	free(names);
}

/* A file of another kind would fail every pull, and only when it is tried. */
static void check_ca_file(const struct upstream_config *upstream, const struct node *node,
			  struct problems *problems)
{
	const struct node *ca_file = node_get(node_get(node, "tls"), "caFile");
	struct error error = {0};
	char *text;

	if (*upstream->tls.ca_file == '\0')
		return;
	if (file_read(upstream->tls.ca_file, CA_FILE_MAX, &text, NULL, &error) != BW_OK) {
		problems_add(problems, ca_file->mark, "proxy.upstreams.%s.tls.caFile: %s",
			     upstream->name, error.message);
		return;
	}
	if (!strstr(text, "-----BEGIN "))
		problems_add(problems, ca_file->mark,
			     "proxy.upstreams.%s.tls.caFile: \"%.200s\": there is no certificate "
			     "in it (PEM, \"-----BEGIN CERTIFICATE-----\")",
			     upstream->name, upstream->tls.ca_file);
	free(text);
}

/* Else what is pushed under that name while it is no upstream, and what is cached
 * while it is one, would be taken for each other. */
static void check_name(const struct upstream_config *upstream, const struct node *node,
		       struct problems *problems)
{
	char repository[HOST_MAX + sizeof("/x")];

	snprintf(repository, sizeof(repository), "%s/x", upstream->name);
	if (!repository_names_registry(repository))
		problems_add(problems, node->key_mark,
			     "proxy.upstreams.%s: without a dot or a port it reads like a part of "
			     "a local repository's name; name it %s.local or %s:443, with \"%s\" "
			     "among its aliases",
			     upstream->name, upstream->name, upstream->name, upstream->name);
}

static void check_upstream(const struct config *config, struct upstream_config *upstream,
			   const struct node *node, struct problems *problems)
{
	const struct node *urls = node_get(node, "urls");

	check_name(upstream, node, problems);
	if (urls && urls->kind == NODE_LIST && upstream->urls.count == 0)
		problems_add(problems, urls->mark,
			     "proxy.upstreams.%s.urls: at least one is needed; remove the key for "
			     "the default",
			     upstream->name);
	check_ca_file(upstream, node, problems);
	for (size_t i = 0; i < upstream->credential_count; i++)
		check_rule(config, upstream, i, node_get(node, "credentials")->items[i], problems);
}

static const struct upstream_config *find_upstream(const struct config *config, const char *host,
						   struct error *error)
{
	struct suggestion suggestion = suggestion_for(host);

	for (size_t i = 0; i < config->proxy.upstream_count; i++) {
		const struct upstream_config *upstream = &config->proxy.upstreams[i];

		if (strcmp(upstream->name, host) == 0 ||
		    string_list_contains(&upstream->aliases, host))
			return upstream;
		suggest(&suggestion, upstream->name);
	}
	unknown_name(&suggestion, "proxy.upstreams", error);
	return NULL;
}

static void check_default_upstream(struct config *config, const struct node *proxy,
				   struct problems *problems)
{
	const char *host = config->proxy.default_upstream;
	const struct upstream_config *upstream;
	struct error error = {0};

	if (*host == '\0')
		return;
	upstream = find_upstream(config, host, &error);
	if (!upstream) {
		problems_add(problems, node_member_mark(proxy, "defaultUpstream"),
			     "proxy.defaultUpstream: %s", error.message);
		return;
	}
	free(config->proxy.default_upstream);
	config->proxy.default_upstream = xstrdup(upstream->name);
}

/* Every interface, as seen by somebody who wants the port of `other`. */
static bool is_any(const char *address, const char *other)
{
	return address[0] == ':' || str_starts_with(address, "[::]:") ||
	       (str_starts_with(address, "0.0.0.0:") && other[0] != '[');
}

/* Would the second of the two listeners find the address in use? */
static bool addresses_clash(const char *a, const char *b)
{
	const char *a_port = strrchr(a, ':');
	const char *b_port = strrchr(b, ':');

	if (strcmp(a_port, b_port) != 0 || strcmp(a_port, ":0") == 0)
		return false;
	return is_any(a, b) || is_any(b, a) || strcmp(a, b) == 0;
}

static void check_addresses(const struct config *config, const struct node *http,
			    struct problems *problems)
{
	if (addresses_clash(config->http.address, config->http.admin_address))
		problems_add(problems, node_member_mark(http, "adminAddress"),
			     "http.adminAddress: \"%s\" is taken by http.address, \"%s\"; give it "
			     "a port of its own",
			     config->http.admin_address, config->http.address);
}

void check_config(struct config *config, const struct node *root, struct problems *problems)
{
	const struct node *credentials = node_get(root, "credentials");
	const struct node *proxy = node_get(root, "proxy");
	const struct node *upstreams = node_get(proxy, "upstreams");

	for (size_t i = 0; i < config->credential_count; i++)
		check_credential(&config->credentials[i], credentials->items[i], problems);
	for (size_t i = 0; i < config->proxy.upstream_count; i++)
		check_upstream(config, &config->proxy.upstreams[i], upstreams->items[i], problems);
	if (config->proxy.upstream_count)
		check_unique_names(config, upstreams, problems);
	check_default_upstream(config, proxy, problems);
	check_addresses(config, node_get(root, "http"), problems);
	check_stores(config, root, problems);
}
