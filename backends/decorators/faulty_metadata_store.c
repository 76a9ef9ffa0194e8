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
	.check = faulty_check,
	.free = faulty_free,
};

struct metadata_store *faulty_metadata_store_new(struct metadata_store *inner,
						 struct fault_plan *plan)
{
	struct faulty_metadata_store *store = xmalloc(sizeof(*store));

	*store = (struct faulty_metadata_store){.ops = faulty_ops, .inner = inner, .plan = plan};
	store->ops.name = inner->ops->name;
	store->base.ops = &store->ops;
	return &store->base;
}
