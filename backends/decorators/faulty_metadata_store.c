#include "backends/decorators/decorated_ops.h"
#include "backends/decorators/faulty.h"
#include "backends/decorators/faulty_store.h"
#include "server/base/memory.h"

#include <stdlib.h>

struct faulty_metadata_store {
	struct metadata_store base;
	struct metadata_store_ops ops; /* a copy with the inner store's name */
	struct metadata_store *inner;
	struct fault_plan *plan;
};

static struct faulty_metadata_store *faulty(struct metadata_store *store)
{
	return container_of(store, struct faulty_metadata_store, base);
}

static enum status faulty_get_tag(struct metadata_store *base, const char *repository,
				  const char *tag, struct tag_entry *ret, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "get_tag", error);

	return status ? status : metadata_get_tag(faulty(base)->inner, repository, tag, ret, error);
}

static enum status faulty_put_tag(struct metadata_store *base, const char *repository,
				  const char *tag, const struct tag_entry *entry,
				  struct error *error)
{
	enum status status = fault(faulty(base)->plan, "put_tag", error);

	return status ? status
		      : metadata_put_tag(faulty(base)->inner, repository, tag, entry, error);
}

static enum status faulty_touch_tag(struct metadata_store *base, const char *repository,
				    const char *tag, uint64_t version, int64_t validated_at,
				    struct error *error)
{
	enum status status = fault(faulty(base)->plan, "touch_tag", error);

	return status ? status
		      : metadata_touch_tag(faulty(base)->inner, repository, tag, version,
					   validated_at, error);
}

static enum status faulty_begin_tag(struct metadata_store *base, const char *repository,
				    const char *tag, uint64_t version, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "begin_tag", error);

	return status ? status
		      : metadata_begin_tag(faulty(base)->inner, repository, tag, version, error);
}

static enum status faulty_remove_tag(struct metadata_store *base, const char *repository,
				     const char *tag, uint64_t version, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "remove_tag", error);

	return status ? status
		      : metadata_remove_tag(faulty(base)->inner, repository, tag, version, error);
}

static enum status faulty_list_tags(struct metadata_store *base, const char *repository,
				    const char *after, unsigned limit, tag_list_fn fn,
				    void *context, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "list_tags", error);

	return status ? status
		      : metadata_list_tags(faulty(base)->inner, repository, after, limit, fn,
					   context, error);
}

static enum status faulty_get_manifest(struct metadata_store *base, const char *repository,
				       const struct digest *digest, struct manifest_entry *ret,
				       struct error *error)
{
	enum status status = fault(faulty(base)->plan, "get_manifest", error);

	return status ? status
		      : metadata_get_manifest(faulty(base)->inner, repository, digest, ret, error);
}

static enum status faulty_put_manifest(struct metadata_store *base, const char *repository,
				       const struct manifest_entry *entry,
				       const struct listed_content *listed, size_t listed_count,
				       struct error *error)
{
	enum status status = fault(faulty(base)->plan, "put_manifest", error);

	return status ? status
		      : metadata_put_manifest(faulty(base)->inner, repository, entry, listed,
					      listed_count, error);
}

static enum status faulty_remove_manifest(struct metadata_store *base, const char *repository,
					  const struct digest *digest, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "remove_manifest", error);

	return status ? status
		      : metadata_remove_manifest(faulty(base)->inner, repository, digest, error);
}

static enum status faulty_get_listed(struct metadata_store *base, const char *repository,
				     const struct digest *digest, uint64_t *ret_size,
				     struct error *error)
{
	enum status status = fault(faulty(base)->plan, "get_listed", error);

	return status ? status
		      : metadata_get_listed(faulty(base)->inner, repository, digest, ret_size,
					    error);
}

static enum status faulty_put_link(struct metadata_store *base, const char *repository,
				   const struct listed_content *link, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "put_link", error);

	return status ? status : metadata_put_link(faulty(base)->inner, repository, link, error);
}

static enum status faulty_get_blob(struct metadata_store *base, const struct digest *digest,
				   uint64_t *ret_size, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "get_blob", error);

	return status ? status : metadata_get_blob(faulty(base)->inner, digest, ret_size, error);
}

static enum status faulty_put_blob(struct metadata_store *base, const struct digest *digest,
				   uint64_t size, int64_t stored_at, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "put_blob", error);

	return status ? status
		      : metadata_put_blob(faulty(base)->inner, digest, size, stored_at, error);
}

static enum status faulty_remove_blob(struct metadata_store *base, const struct digest *digest,
				      struct error *error)
{
	enum status status = fault(faulty(base)->plan, "remove_blob", error);

	return status ? status : metadata_remove_blob(faulty(base)->inner, digest, error);
}

static enum status faulty_get_document(struct metadata_store *base, const char *repository,
				       const char *kind, const char *key,
				       struct document_entry *ret, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "get_document", error);

	return status ? status
		      : metadata_get_document(faulty(base)->inner, repository, kind, key, ret,
					      error);
}

static enum status faulty_put_document(struct metadata_store *base, const char *repository,
				       const char *kind, const char *key,
				       const struct document_entry *entry, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "put_document", error);

	return status ? status
		      : metadata_put_document(faulty(base)->inner, repository, kind, key, entry,
					      error);
}

static enum status faulty_list_tags_of(struct metadata_store *base, const char *repository,
				       const struct digest *digest, unsigned limit, tag_list_fn fn,
				       void *context, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "list_tags_of", error);

	return status ? status
		      : metadata_list_tags_of(faulty(base)->inner, repository, digest, limit, fn,
					      context, error);
}

static enum status faulty_list_referrers(struct metadata_store *base, const char *repository,
					 const struct digest *subject, const struct digest *after,
					 referrer_list_fn fn, void *context, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "list_referrers", error);

	return status ? status
		      : metadata_list_referrers(faulty(base)->inner, repository, subject, after, fn,
						context, error);
}

static enum status faulty_get_link(struct metadata_store *base, const char *repository,
				   const struct digest *digest, uint64_t *ret_size,
				   struct error *error)
{
	enum status status = fault(faulty(base)->plan, "get_link", error);

	return status ? status
		      : metadata_get_link(faulty(base)->inner, repository, digest, ret_size, error);
}

static enum status faulty_remove_link(struct metadata_store *base, const char *repository,
				      const struct digest *digest, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "remove_link", error);

	return status ? status
		      : metadata_remove_link(faulty(base)->inner, repository, digest, error);
}

static enum status faulty_list_links_of(struct metadata_store *base, const struct digest *digest,
					unsigned limit, repository_list_fn fn, void *context,
					struct error *error)
{
	enum status status = fault(faulty(base)->plan, "list_links_of", error);

	return status ? status
		      : metadata_list_links_of(faulty(base)->inner, digest, limit, fn, context,
					       error);
}

static enum status faulty_get_repository(struct metadata_store *base, const char *repository,
					 struct error *error)
{
	enum status status = fault(faulty(base)->plan, "get_repository", error);

	return status ? status : metadata_get_repository(faulty(base)->inner, repository, error);
}

static enum status faulty_put_repository(struct metadata_store *base, const char *repository,
					 struct error *error)
{
	enum status status = fault(faulty(base)->plan, "put_repository", error);

	return status ? status : metadata_put_repository(faulty(base)->inner, repository, error);
}

static enum status faulty_remove_repository(struct metadata_store *base, const char *repository,
					    struct error *error)
{
	enum status status = fault(faulty(base)->plan, "remove_repository", error);

	return status ? status : metadata_remove_repository(faulty(base)->inner, repository, error);
}

static enum status faulty_list_repositories(struct metadata_store *base, const char *after,
					    unsigned limit, repository_list_fn fn, void *context,
					    struct error *error)
{
	enum status status = fault(faulty(base)->plan, "list_repositories", error);

	return status ? status
		      : metadata_list_repositories(faulty(base)->inner, after, limit, fn, context,
						   error);
}

static enum status faulty_create_upload(struct metadata_store *base, const char *id,
					const struct upload_entry *entry, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "create_upload", error);

	return status ? status : metadata_create_upload(faulty(base)->inner, id, entry, error);
}

static enum status faulty_get_upload(struct metadata_store *base, const char *id,
				     struct upload_entry *ret, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "get_upload", error);

	return status ? status : metadata_get_upload(faulty(base)->inner, id, ret, error);
}

static enum status faulty_advance_upload(struct metadata_store *base, const char *id,
					 const struct upload_entry *entry, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "advance_upload", error);

	return status ? status : metadata_advance_upload(faulty(base)->inner, id, entry, error);
}

static enum status faulty_remove_upload(struct metadata_store *base, const char *id,
					struct error *error)
{
	enum status status = fault(faulty(base)->plan, "remove_upload", error);

	return status ? status : metadata_remove_upload(faulty(base)->inner, id, error);
}

static enum status faulty_list_uploads(struct metadata_store *base, int64_t touched_before,
				       unsigned limit, upload_list_fn fn, void *context,
				       struct error *error)
{
	enum status status = fault(faulty(base)->plan, "list_uploads", error);

	return status ? status
		      : metadata_list_uploads(faulty(base)->inner, touched_before, limit, fn,
					      context, error);
}

static enum status faulty_get_mark(struct metadata_store *base, const char *name,
				   int64_t *ret_value, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "get_mark", error);

	return status ? status : metadata_get_mark(faulty(base)->inner, name, ret_value, error);
}

static enum status faulty_put_mark(struct metadata_store *base, const char *name, int64_t value,
				   struct error *error)
{
	enum status status = fault(faulty(base)->plan, "put_mark", error);

	return status ? status : metadata_put_mark(faulty(base)->inner, name, value, error);
}

static enum status faulty_next_version(struct metadata_store *base, const char *repository,
				       const char *tag, uint64_t at_least, uint64_t *ret_version,
				       struct error *error)
{
	enum status status = fault(faulty(base)->plan, "next_version", error);

	return status ? status
		      : metadata_next_version(faulty(base)->inner, repository, tag, at_least,
					      ret_version, error);
}

static enum status faulty_touch_manifests(struct metadata_store *base, const char *repository,
					  const struct digest *digests, size_t count,
					  int64_t used_at, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "touch_manifests", error);

	return status ? status
		      : metadata_touch_manifests(faulty(base)->inner, repository, digests, count,
						 used_at, error);
}

static enum status faulty_list_idle_manifests(struct metadata_store *base, int64_t used_before,
					      unsigned limit, idle_list_fn fn, void *context,
					      struct error *error)
{
	enum status status = fault(faulty(base)->plan, "list_idle_manifests", error);

	return status ? status
		      : metadata_list_idle_manifests(faulty(base)->inner, used_before, limit, fn,
						     context, error);
}

static enum status faulty_list_holders_of(struct metadata_store *base, const struct digest *digest,
					  unsigned limit, repository_list_fn fn, void *context,
					  struct error *error)
{
	enum status status = fault(faulty(base)->plan, "list_holders_of", error);

	return status ? status
		      : metadata_list_holders_of(faulty(base)->inner, digest, limit, fn, context,
						 error);
}

static enum status faulty_get_usage(struct metadata_store *base, struct usage *ret,
				    struct error *error)
{
	enum status status = fault(faulty(base)->plan, "get_usage", error);

	return status ? status : metadata_get_usage(faulty(base)->inner, ret, error);
}

static void faulty_watch(struct metadata_store *base, const struct metadata_watcher *watcher)
{
	metadata_watch(faulty(base)->inner, watcher);
}

static bool faulty_is_watched(struct metadata_store *base)
{
	return metadata_is_watched(faulty(base)->inner);
}

static enum status faulty_check(struct metadata_store *base, struct error *error)
{
	enum status status = fault(faulty(base)->plan, "check", error);

	return status ? status : metadata_check(faulty(base)->inner, error);
}

static void faulty_free(struct metadata_store *base)
{
	struct faulty_metadata_store *store = faulty(base);

	metadata_store_free(store->inner);
	free(store);
}

static const struct metadata_store_ops faulty_ops = {
	.get_tag = faulty_get_tag,
	.put_tag = faulty_put_tag,
	.touch_tag = faulty_touch_tag,
	.begin_tag = faulty_begin_tag,
	.remove_tag = faulty_remove_tag,
	.list_tags = faulty_list_tags,
	.get_manifest = faulty_get_manifest,
	.put_manifest = faulty_put_manifest,
	.remove_manifest = faulty_remove_manifest,
	.get_listed = faulty_get_listed,
	.put_link = faulty_put_link,
	.get_blob = faulty_get_blob,
	.put_blob = faulty_put_blob,
	.remove_blob = faulty_remove_blob,
	.get_document = faulty_get_document,
	.put_document = faulty_put_document,
	.list_tags_of = faulty_list_tags_of,
	.list_referrers = faulty_list_referrers,
	.next_version = faulty_next_version,
	.touch_manifests = faulty_touch_manifests,
	.list_idle_manifests = faulty_list_idle_manifests,
	.list_holders_of = faulty_list_holders_of,
	.get_usage = faulty_get_usage,
	.watch = faulty_watch,
	.is_watched = faulty_is_watched,
	.get_link = faulty_get_link,
	.remove_link = faulty_remove_link,
	.list_links_of = faulty_list_links_of,
	.get_repository = faulty_get_repository,
	.put_repository = faulty_put_repository,
	.remove_repository = faulty_remove_repository,
	.list_repositories = faulty_list_repositories,
	.create_upload = faulty_create_upload,
	.get_upload = faulty_get_upload,
	.advance_upload = faulty_advance_upload,
	.remove_upload = faulty_remove_upload,
	.list_uploads = faulty_list_uploads,
	.get_mark = faulty_get_mark,
	.put_mark = faulty_put_mark,
	.check = faulty_check,
	.free = faulty_free,
};

struct metadata_store *faulty_metadata_store_new(struct metadata_store *inner,
						 struct fault_plan *plan)
{
	struct faulty_metadata_store *store = xmalloc(sizeof(*store));

	*store = (struct faulty_metadata_store){.ops = faulty_ops, .inner = inner, .plan = plan};
	decorated_metadata_ops(&store->ops, inner);
	store->base.ops = &store->ops;
	return &store->base;
}
