/* Shared by the files of this folder. */
#ifndef CONTENT_CONTENT_PRIVATE_H
#define CONTENT_CONTENT_PRIVATE_H

#include "server/content/content.h"
#include "server/content/keys.h"
#include "server/oci/name.h"

#include <stdatomic.h>

/* How often somebody else's write may overtake what a function is doing. */
#define CONTENT_TRIES 8

struct lru;

struct content {
	struct object_store *objects;
	struct metadata_store *metadata;
	_Atomic uint64_t last_version;
	/* Repositories whose manifest records were all read into the index a moment
	 * ago. Losing one costs a second reading. */
	struct lru *scanned;
	/* What the object store said, while the index could not, about which
	 * repositories there are. */
	struct lru *known_repositories;
	_Atomic bool complete; /* the index's mark was seen; of one that is not shared */
	_Atomic int64_t complete_asked_at; /* monotonic; when it was last looked for */
	_Atomic unsigned index_failures; /* manifests that the index did not take */
	int64_t settle_patience_ms; /* REFERENCES_PATIENCE_MS; tests shorten it */
};

/* Could the index not be asked? A second question would cost the request a second
 * deadline: it does without, and leaves repairs to those who come later. */
static inline bool index_is_away(enum status status)
{
	return status == BW_TIMEOUT || status == BW_UNAVAILABLE || status == BW_UNREACHABLE;
}

/* --- content_complete.c --- */
/* After an answer of the index that is believed because it lists all there is.
 * BW_UNAVAILABLE: it was lost meanwhile. */
enum status content_still_complete(struct content *content, struct error *error);

/* --- content_versions.c --- */
/* Makes sure content_version() stays above a version seen somewhere. */
void content_saw_version(struct content *content, uint64_t version);

struct newest_version {
	char key[KEY_SIZE];
	uint64_t version;
	bool found;
};
/* What the object store has, be it a removal. BW_OK: it knows. */
enum status content_newest_version(struct content *content, const char *repository, const char *tag,
				   struct newest_version *ret, struct error *error);

bool content_was_scanned(struct content *content, const char *repository);
/* The index did not take a manifest of this repository. */
void content_forget_scan(struct content *content, const char *repository);

/* Reads the repository's manifest records into the index (10,000 at most: with
 * more, some blob's grant may have to be asked for again). `away`: the index cannot be
 * asked, and it is enough to find the first that lists `wanted`. BW_OK: one of them
 * lists `wanted`, with *ret_size bytes. BW_ABSENT: none that was read does. */
enum status content_scan_manifests(struct content *content, const char *repository,
				   const struct digest *wanted, bool away, uint64_t *ret_size,
				   struct error *error);

/* Something that is remembered for a minute, as a value of an lru; for a moment only
 * while nobody would tell us that the index was changed or lost. */
bool content_mark_get(struct content *content, struct lru *marks, const char *name,
		      bool *ret_value);
void content_mark_put(struct lru *marks, const char *name, bool value);

/* --- content_manifests.c --- */
/* Is there a record? */
enum status content_stat_record(struct content *content, const char *repository,
				const struct digest *digest, struct error *error);
/* A manifest as content_get_manifest reads it, without asking the index or telling it. */
enum status content_read_manifest(struct content *content, const char *repository,
				  const struct digest *digest, struct manifest_entry *ret,
				  struct error *error);
/* A manifest's body, verified; whether any repository has a record of it or not. The
 * caller frees *ret_body. */
enum status content_read_body(struct content *content, const struct digest *digest, char **ret_body,
			      size_t *ret_length, struct error *error);
enum status content_index_manifest(struct content *content, const char *repository,
				   const struct manifest_entry *entry,
				   const struct manifest *parsed, struct error *error);

/* --- content_push.c --- */
enum status content_store_referrer(struct content *content, const char *repository,
				   const struct digest *subject, const struct digest *digest,
				   enum put_mode mode, struct error *error);

/* --- content_tags.c: a write of a tag in three steps, of which content_put_tag does
 * the last two --- */
/* Before content_store_tag: tells the index that a write of this version begins. */
enum status content_begin_tag(struct content *content, const char *repository, const char *tag,
			      uint64_t version, struct error *error);
enum status content_store_tag(struct content *content, const char *repository, const char *tag,
			      const struct tag_entry *entry, enum put_mode mode,
			      struct error *error);
/* BW_CONFLICT: a newer version is in place already. */
enum status content_index_tag(struct content *content, const char *repository, const char *tag,
			      const struct tag_entry *entry, struct error *error);
/* Removes the tag if it has no newer version than this one. Durable when it
 * returns. */
enum status content_untag(struct content *content, const char *repository, const char *tag,
			  uint64_t version, struct error *error);

/* --- content_lists.c --- */
struct stored_tags {
	char (*items)[TAG_MAX + 1];
	size_t count;
};
/* At most `limit` tags after `after` that the object store has any version of, in
 * byte order. The caller frees ret->items. */
enum status content_stored_tags(struct content *content, const char *repository, const char *after,
				size_t limit, struct stored_tags *ret, struct error *error);

#endif
