#include "backends/s3/libs3/libs3_internal.h"
#include "server/base/str.h"
#include "server/base/thread.h"

#include <stdlib.h>
#include <string.h>

static pthread_once_t libs3_once = PTHREAD_ONCE_INIT;
static S3Status libs3_ready;

/* libxml2 sets itself up when it is first used, and once more when that is first done by
 * another thread than the main one. Two threads must not do either at once, and libs3
 * leaves that to chance: read a document on a thread of its own before there are two. */
static void *initialize_xml(void *unused)
{
	static char document[] = "<AccessControlPolicy></AccessControlPolicy>";
	S3AclGrant *grants = xcalloc(S3_MAX_ACL_GRANT_COUNT, sizeof(*grants));
	char owner[S3_MAX_GRANTEE_USER_ID_SIZE];
	char name[S3_MAX_GRANTEE_DISPLAY_NAME_SIZE];
	int count;

	(void)unused;
	S3_convert_acl(document, owner, name, &count, grants);
	free(grants);
	return NULL;
}

/* Never undone: libs3 keeps its requests for the life of the process. */
static void initialize_libs3(void)
{
	pthread_t thread;

	libs3_ready = S3_initialize("breakwater", S3_INIT_ALL, NULL);
	initialize_xml(NULL);
	if (thread_start(&thread, "libs3", 0, initialize_xml, NULL) == 0)
		pthread_join(thread, NULL);
}

static void start_delete(struct libs3_call *call, const S3BucketContext *bucket,
			 S3RequestContext *context)
{
	S3_delete_object(bucket, call->key, context, &libs3_response_handler, call);
}

static enum status libs3_remove(struct s3_transport *transport, const char *const *keys,
				size_t count, struct error *error)
{
	for (size_t i = 0; i < count; i++) {
		struct libs3_call call = {.what = "DELETE", .key = keys[i], .start = start_delete};
		enum status status;

		libs3_note_removal(libs3_of(transport), keys[i]);
		status = libs3_ask(libs3_of(transport), &call, NULL, error);
		/* A gateway that answers so: absent is as good as removed, but not when
		 * it is the bucket that is. */
		if (status == BW_ABSENT)
			status = transport->ops->check(transport, error);
		if (status)
			return status;
	}
	return BW_OK;
}

static bool take_nothing(void *context, const struct s3_entry *entry)
{
	(void)context;
	(void)entry;
	return false;
}

static enum status libs3_check(struct s3_transport *transport, struct error *error)
{
	bool more;

	return libs3_list(transport, "", "", 1, take_nothing, NULL, &more, error);
}

static void libs3_free(struct s3_transport *base)
{
	struct libs3_transport *transport = libs3_of(base);

	while (transport->idle_count)
		S3_destroy_request_context(transport->idle[--transport->idle_count]);
	s3_secrets_free(transport->secrets);
	s3_guard_release(&transport->guard);
	pthread_cond_destroy(&transport->claim_over);
	pthread_mutex_destroy(&transport->lock);
	free(transport->host);
	free(transport->bucket);
	free(transport);
}

static const struct s3_transport_ops libs3_ops = {
	.head = libs3_head,
	.get = libs3_get,
	.put = libs3_put,
	.remove = libs3_remove,
	.list = libs3_list,
	.check = libs3_check,
	.free = libs3_free,
};

static bool given(const char *option)
{
	return option && *option;
}

/* "http://host:port" and nothing else. */
static enum status host_of(const char *endpoint, char **ret_host, struct error *error)
{
	const char *host = endpoint;
	size_t length;

	if (str_starts_with(endpoint, "https://"))
		return error_set(error, BW_UNSUPPORTED,
				 "storage.s3.endpoint: with signature v2 no certificate is "
				 "checked, so https would promise too much; use http inside of a "
				 "network that you trust, or signature v4");
	if (str_starts_with(endpoint, "http://"))
		host += strlen("http://");
	length = strcspn(host, "/?#@ \t");
	if (host == endpoint || length == 0 || (host[length] && strcmp(host + length, "/") != 0))
		return error_set(error, BW_INVALID,
				 "storage.s3.endpoint: \"%s\" is not http://host:port", endpoint);
	*ret_host = xstrndup(host, length);
	return BW_OK;
}

static enum status check_options(const struct s3_options *options, struct error *error)
{
	bool keys = (given(options->access_key) || given(options->access_key_file)) &&
		    (given(options->secret_key) || given(options->secret_key_file));

	if (!given(options->endpoint))
		return error_set(error, BW_INVALID, "storage.s3.endpoint: it is needed");
	if (!keys)
		return error_set(error, BW_INVALID,
				 "storage.s3.accessKey and secretKey: signature v2 needs both");
	if (given(options->session_token_file))
		return error_set(error, BW_UNSUPPORTED,
				 "storage.s3.sessionTokenFile: signature v2 knows no tokens");
	if (!given(options->bucket) ||
	    S3_validate_bucket_name(options->bucket,
				    options->path_style ? S3UriStylePath : S3UriStyleVirtualHost) !=
		    S3StatusOK)
		return error_set(error, BW_INVALID, "storage.s3.bucket: \"%s\" names no bucket",
				 options->bucket ? options->bucket : "");
	return BW_OK;
}

static int64_t or_default(int64_t value, int64_t standard)
{
	return value > 0 ? value : standard;
}

static struct libs3_transport *transport_make(const struct s3_options *options, char *host,
					      struct s3_secrets *secrets)
{
	struct libs3_transport *transport = xcalloc(1, sizeof(*transport));

	transport->base = (struct s3_transport){.ops = &libs3_ops, .name = "libs3"};
	transport->host = host;
	transport->bucket = xstrdup(options->bucket);
	transport->style = options->path_style ? S3UriStylePath : S3UriStyleVirtualHost;
	transport->secrets = secrets;
	s3_guard_init(&transport->guard);
	transport->first_byte_ms = or_default(options->first_byte_ms, S3_FIRST_BYTE_MS);
	transport->stall_ms = or_default(options->stall_ms, S3_STALL_MS);
	transport->operation_ms = or_default(options->operation_ms, S3_OPERATION_MS);
	transport->bucket_seen_ms = INT64_MIN / 2;
	pthread_mutex_init(&transport->lock, NULL);
	cond_init(&transport->claim_over);
	return transport;
}

enum status libs3_transport_new(const struct s3_options *options,
				struct s3_transport **ret_transport, struct error *error)
{
	struct s3_secrets *secrets = NULL;
	char *host = NULL;
	enum status status = check_options(options, error);

	pthread_once(&libs3_once, initialize_libs3);
	if (!status && libs3_ready != S3StatusOK)
		status = error_set(error, BW_INTERNAL, "libs3 cannot be used: %s",
				   S3_get_status_name(libs3_ready));
	if (!status)
		status = host_of(options->endpoint, &host, error);
	if (!status)
		status = s3_secrets_new(options, &secrets, error);
	if (status) {
		free(host);
		return status;
	}
	*ret_transport = &transport_make(options, host, secrets)->base;
	return BW_OK;
}

enum status libs3_store_new(const struct s3_options *options, struct object_store **ret_store,
			    struct error *error)
{
	struct s3_layout layout = {.prefix = options->prefix,
				   .part_size = options->part_size,
				   .parts_in_flight = options->parts_in_flight,
				   .may_be_away = options->may_be_away};
	struct s3_transport *transport = NULL;
	enum status status = libs3_transport_new(options, &transport, error);

	return status ? status : s3_store_over(transport, &layout, ret_store, error);
}
