#include "backends/decorators/decorated_ops.h"
#include "backends/decorators/metered.h"
#include "backends/decorators/metered_store.h"
#include "server/base/memory.h"

#include <stdlib.h>

struct metered_metadata_store {
	struct metadata_store base;
	struct metadata_store_ops ops; /* a copy with the inner store's name */
	struct metadata_store *inner;
};

static struct metered_metadata_store *metered(struct metadata_store *store)
{
	return container_of(store, struct metered_metadata_store, base);
}

static enum status end(struct metadata_store *base, const char *action, int64_t start,
		       enum status status)
{
	return metered_end(base->ops->name, action, start, status);
}

static enum status metered_get_tag(struct metadata_store *base, const char *repository,
				   const char *tag, struct tag_entry *ret, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "get_tag", start,
		   metadata_get_tag(metered(base)->inner, repository, tag, ret, error));
}

static enum status metered_put_tag(struct metadata_store *base, const char *repository,
				   const char *tag, const struct tag_entry *entry,
				   struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "put_tag", start,
		   metadata_put_tag(metered(base)->inner, repository, tag, entry, error));
}

static enum status metered_touch_tag(struct metadata_store *base, const char *repository,
				     const char *tag, uint64_t version, int64_t validated_at,
				     struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "touch_tag", start,
		   metadata_touch_tag(metered(base)->inner, repository, tag, version, validated_at,
				      error));
}

static enum status metered_begin_tag(struct metadata_store *base, const char *repository,
				     const char *tag, uint64_t version, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "begin_tag", start,
		   metadata_begin_tag(metered(base)->inner, repository, tag, version, error));
}

static enum status metered_remove_tag(struct metadata_store *base, const char *repository,
				      const char *tag, uint64_t version, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "remove_tag", start,
		   metadata_remove_tag(metered(base)->inner, repository, tag, version, error));
}

static enum status metered_list_tags(struct metadata_store *base, const char *repository,
				     const char *after, unsigned limit, tag_list_fn fn,
				     void *context, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "list_tags", start,
		   metadata_list_tags(metered(base)->inner, repository, after, limit, fn, context,
				      error));
}

static enum status metered_get_manifest(struct metadata_store *base, const char *repository,
					const struct digest *digest, struct manifest_entry *ret,
					struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "get_manifest", start,
		   metadata_get_manifest(metered(base)->inner, repository, digest, ret, error));
}

static enum status metered_put_manifest(struct metadata_store *base, const char *repository,
					const struct manifest_entry *entry,
					const struct listed_content *listed, size_t listed_count,
					struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "put_manifest", start,
		   metadata_put_manifest(metered(base)->inner, repository, entry, listed,
					 listed_count, error));
}

static enum status metered_remove_manifest(struct metadata_store *base, const char *repository,
					   const struct digest *digest, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "remove_manifest", start,
		   metadata_remove_manifest(metered(base)->inner, repository, digest, error));
}

static enum status metered_get_listed(struct metadata_store *base, const char *repository,
				      const struct digest *digest, uint64_t *ret_size,
				      struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "get_listed", start,
		   metadata_get_listed(metered(base)->inner, repository, digest, ret_size, error));
}

static enum status metered_put_link(struct metadata_store *base, const char *repository,
				    const struct listed_content *link, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "put_link", start,
		   metadata_put_link(metered(base)->inner, repository, link, error));
}

static enum status metered_get_blob(struct metadata_store *base, const struct digest *digest,
				    uint64_t *ret_size, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "get_blob", start,
		   metadata_get_blob(metered(base)->inner, digest, ret_size, error));
}

static enum status metered_put_blob(struct metadata_store *base, const struct digest *digest,
				    uint64_t size, int64_t stored_at, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "put_blob", start,
		   metadata_put_blob(metered(base)->inner, digest, size, stored_at, error));
}

static enum status metered_remove_blob(struct metadata_store *base, const struct digest *digest,
				       struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "remove_blob", start,
		   metadata_remove_blob(metered(base)->inner, digest, error));
}

static enum status metered_get_document(struct metadata_store *base, const char *repository,
					const char *kind, const char *key,
					struct document_entry *ret, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "get_document", start,
		   metadata_get_document(metered(base)->inner, repository, kind, key, ret, error));
}

static enum status metered_put_document(struct metadata_store *base, const char *repository,
					const char *kind, const char *key,
					const struct document_entry *entry, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(
		base, "put_document", start,
		metadata_put_document(metered(base)->inner, repository, kind, key, entry, error));
}

static enum status metered_list_tags_of(struct metadata_store *base, const char *repository,
					const struct digest *digest, unsigned limit, tag_list_fn fn,
					void *context, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "list_tags_of", start,
		   metadata_list_tags_of(metered(base)->inner, repository, digest, limit, fn,
					 context, error));
}

static enum status metered_list_referrers(struct metadata_store *base, const char *repository,
					  const struct digest *subject, const struct digest *after,
					  referrer_list_fn fn, void *context, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "list_referrers", start,
		   metadata_list_referrers(metered(base)->inner, repository, subject, after, fn,
					   context, error));
}

static enum status metered_get_link(struct metadata_store *base, const char *repository,
				    const struct digest *digest, uint64_t *ret_size,
				    struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "get_link", start,
		   metadata_get_link(metered(base)->inner, repository, digest, ret_size, error));
}

static enum status metered_remove_link(struct metadata_store *base, const char *repository,
				       const struct digest *digest, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "remove_link", start,
		   metadata_remove_link(metered(base)->inner, repository, digest, error));
}

static enum status metered_list_links_of(struct metadata_store *base, const struct digest *digest,
					 unsigned limit, repository_list_fn fn, void *context,
					 struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "list_links_of", start,
		   metadata_list_links_of(metered(base)->inner, digest, limit, fn, context, error));
}

static enum status metered_get_repository(struct metadata_store *base, const char *repository,
					  struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "get_repository", start,
		   metadata_get_repository(metered(base)->inner, repository, error));
}

static enum status metered_put_repository(struct metadata_store *base, const char *repository,
					  struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "put_repository", start,
		   metadata_put_repository(metered(base)->inner, repository, error));
}

static enum status metered_remove_repository(struct metadata_store *base, const char *repository,
					     struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "remove_repository", start,
		   metadata_remove_repository(metered(base)->inner, repository, error));
}

static enum status metered_list_repositories(struct metadata_store *base, const char *after,
					     unsigned limit, repository_list_fn fn, void *context,
					     struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(
		base, "list_repositories", start,
		metadata_list_repositories(metered(base)->inner, after, limit, fn, context, error));
}

static enum status metered_create_upload(struct metadata_store *base, const char *id,
					 const struct upload_entry *entry, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "create_upload", start,
		   metadata_create_upload(metered(base)->inner, id, entry, error));
}

static enum status metered_get_upload(struct metadata_store *base, const char *id,
				      struct upload_entry *ret, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "get_upload", start,
		   metadata_get_upload(metered(base)->inner, id, ret, error));
}

static enum status metered_advance_upload(struct metadata_store *base, const char *id,
					  const struct upload_entry *entry, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "advance_upload", start,
		   metadata_advance_upload(metered(base)->inner, id, entry, error));
}

static enum status metered_remove_upload(struct metadata_store *base, const char *id,
					 struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "remove_upload", start,
		   metadata_remove_upload(metered(base)->inner, id, error));
}

static enum status metered_list_uploads(struct metadata_store *base, int64_t touched_before,
					unsigned limit, upload_list_fn fn, void *context,
					struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "list_uploads", start,
		   metadata_list_uploads(metered(base)->inner, touched_before, limit, fn, context,
					 error));
}

static enum status metered_get_mark(struct metadata_store *base, const char *name,
				    int64_t *ret_value, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "get_mark", start,
		   metadata_get_mark(metered(base)->inner, name, ret_value, error));
}

static enum status metered_put_mark(struct metadata_store *base, const char *name, int64_t value,
				    struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "put_mark", start,
		   metadata_put_mark(metered(base)->inner, name, value, error));
}

static enum status metered_next_version(struct metadata_store *base, const char *repository,
					const char *tag, uint64_t at_least, uint64_t *ret_version,
					struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "next_version", start,
		   metadata_next_version(metered(base)->inner, repository, tag, at_least,
					 ret_version, error));
}

static enum status metered_touch_manifests(struct metadata_store *base, const char *repository,
					   const struct digest *digests, size_t count,
					   int64_t used_at, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "touch_manifests", start,
		   metadata_touch_manifests(metered(base)->inner, repository, digests, count,
					    used_at, error));
}

static enum status metered_list_idle_manifests(struct metadata_store *base, int64_t used_before,
					       unsigned limit, idle_list_fn fn, void *context,
					       struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "list_idle_manifests", start,
		   metadata_list_idle_manifests(metered(base)->inner, used_before, limit, fn,
						context, error));
}

static enum status metered_list_holders_of(struct metadata_store *base, const struct digest *digest,
					   unsigned limit, repository_list_fn fn, void *context,
					   struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(
		base, "list_holders_of", start,
		metadata_list_holders_of(metered(base)->inner, digest, limit, fn, context, error));
}

static enum status metered_get_usage(struct metadata_store *base, struct usage *ret,
				     struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "get_usage", start, metadata_get_usage(metered(base)->inner, ret, error));
}

static void metered_watch(struct metadata_store *base, const struct metadata_watcher *watcher)
{
	metadata_watch(metered(base)->inner, watcher);
}

static bool metered_is_watched(struct metadata_store *base)
{
	return metadata_is_watched(metered(base)->inner);
}

static enum status metered_check(struct metadata_store *base, struct error *error)
{
	int64_t start = clock_monotonic_us();

	return end(base, "check", start, metadata_check(metered(base)->inner, error));
}

static void metered_free(struct metadata_store *base)
{
	struct metered_metadata_store *store = metered(base);

	metadata_store_free(store->inner);
	free(store);
}

static const struct metadata_store_ops metered_ops = {
	.get_tag = metered_get_tag,
	.put_tag = metered_put_tag,
	.touch_tag = metered_touch_tag,
	.begin_tag = metered_begin_tag,
	.remove_tag = metered_remove_tag,
	.list_tags = metered_list_tags,
	.get_manifest = metered_get_manifest,
	.put_manifest = metered_put_manifest,
	.remove_manifest = metered_remove_manifest,
	.get_listed = metered_get_listed,
	.put_link = metered_put_link,
	.get_blob = metered_get_blob,
	.put_blob = metered_put_blob,
	.remove_blob = metered_remove_blob,
	.get_document = metered_get_document,
	.put_document = metered_put_document,
	.list_tags_of = metered_list_tags_of,
	.list_referrers = metered_list_referrers,
	.next_version = metered_next_version,
	.touch_manifests = metered_touch_manifests,
	.list_idle_manifests = metered_list_idle_manifests,
	.list_holders_of = metered_list_holders_of,
	.get_usage = metered_get_usage,
	.watch = metered_watch,
	.is_watched = metered_is_watched,
	.get_link = metered_get_link,
	.remove_link = metered_remove_link,
	.list_links_of = metered_list_links_of,
	.get_repository = metered_get_repository,
	.put_repository = metered_put_repository,
	.remove_repository = metered_remove_repository,
	.list_repositories = metered_list_repositories,
	.create_upload = metered_create_upload,
	.get_upload = metered_get_upload,
	.advance_upload = metered_advance_upload,
	.remove_upload = metered_remove_upload,
	.list_uploads = metered_list_uploads,
	.get_mark = metered_get_mark,
	.put_mark = metered_put_mark,
	.check = metered_check,
	.free = metered_free,
};

struct metadata_store *metered_metadata_store_new(struct metadata_store *inner)
{
	struct metered_metadata_store *store = xmalloc(sizeof(*store));

	*store = (struct metered_metadata_store){.ops = metered_ops, .inner = inner};
	decorated_metadata_ops(&store->ops, inner);
	store->base.ops = &store->ops;
	return &store->base;
}
