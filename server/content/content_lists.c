/*
 * Tags of a repository and referrers of a manifest: from the index when it is
 * complete, else from the object store, a page at a time.
 */
#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/content/content_private.h"
#include "server/content/keys.h"
#include "server/oci/descriptor.h"
#include "server/oci/manifest.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_MAX 1000

/* ---- tags ---- */

struct tag_page {
	const char *after;
	size_t limit;
	struct stored_tags names; /* sorted */
};

/* The first place whose tag is not less than this one. */
static size_t place_of(const struct stored_tags *names, const char *tag)
{
	size_t low = 0;
	size_t high = names->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(names->items[middle], tag) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Keys are not in the order of their tags: "a-b/" sorts before "a/". So the whole
 * prefix is read, and the lowest that are wanted are kept. */
static bool take_tag(void *context, const char *key, const struct object_info *info)
{
	struct tag_page *page = context;
	struct stored_tags *names = &page->names;
	struct parsed_key parsed;
	size_t place;

	(void)info;
	key_parse(key, &parsed);
	if (parsed.kind != KEY_TAG_VERSION || strcmp(parsed.tag, page->after) <= 0)
		return true;
	place = place_of(names, parsed.tag);
	if (place == page->limit)
		return true;
	if (place < names->count && strcmp(names->items[place], parsed.tag) == 0)
		return true; /* an older version of it */
	if (names->count < page->limit)
		names->count++;
	memmove(names->items + place + 1, names->items + place,
		(names->count - place - 1) * sizeof(*names->items));
	str_copy(names->items[place], sizeof(names->items[place]), parsed.tag);
	return true;
}

enum status content_stored_tags(struct content *content, const char *repository, const char *after,
				size_t limit, struct stored_tags *ret, struct error *error)
{
	struct tag_page page = {.after = after, .limit = limit < PAGE_MAX ? limit : PAGE_MAX};
	char prefix[KEY_SIZE];
	enum status status;

	page.names.items = xcalloc(page.limit + 1, sizeof(*page.names.items));
	key_of_tags(prefix, repository);
	status = object_list(content->objects, prefix, "", take_tag, &page, error);
	if (status == BW_OK)
		*ret = page.names;
	else
		free(page.names.items);
	return status;
}

/* Hands on, and remembers how far it got: should the index fail in the middle, the
 * object store continues there. */
struct tag_listing {
	tag_list_fn fn;
	void *context;
	unsigned left;
	bool stopped;
	char last[TAG_MAX + 1];
};

static bool hand_on_tag(void *context, const char *tag)
{
	struct tag_listing *listing = context;

	str_copy(listing->last, sizeof(listing->last), tag);
	listing->left--;
	listing->stopped = !listing->fn(listing->context, tag);
	return !listing->stopped && listing->left > 0;
}

/* Those whose newest version is a removal are left out. */
static enum status hand_on_live(struct content *content, const char *repository,
				const struct stored_tags *names, struct tag_listing *listing,
				struct error *error)
{
	for (size_t i = 0; i < names->count; i++) {
		struct tag_entry entry;
		struct error trouble = {0};
		enum status status =
			content_get_tag(content, repository, names->items[i], &entry, &trouble);

		if (status == BW_OK && !hand_on_tag(listing, names->items[i]))
			return BW_OK;
		if (status != BW_OK && status != BW_ABSENT) {
			if (error)
				*error = trouble;
			return status;
		}
	}
	return BW_OK;
}

static enum status list_stored_tags(struct content *content, const char *repository,
				    const char *after, struct tag_listing *listing,
				    struct error *error)
{
	char cursor[TAG_MAX + 1];
	bool more = true;
	enum status status = BW_OK;

	str_copy(cursor, sizeof(cursor), after);
	while (status == BW_OK && more && listing->left > 0 && !listing->stopped) {
		size_t limit = listing->left < PAGE_MAX ? listing->left : PAGE_MAX;
		struct stored_tags names = {0};

		status = content_stored_tags(content, repository, cursor, limit, &names, error);
		if (status == BW_OK)
			status = hand_on_live(content, repository, &names, listing, error);
		more = names.count == limit;
		if (names.count > 0)
			str_copy(cursor, sizeof(cursor), names.items[names.count - 1]);
		free(names.items);
	}
	return status;
}

enum status content_list_tags(struct content *content, const char *repository, const char *after,
			      unsigned limit, tag_list_fn fn, void *context, struct error *error)
{
	struct tag_listing listing = {.fn = fn, .context = context, .left = limit};

	if (limit == 0)
		return BW_OK;
	if (content_is_complete(content) &&
	    metadata_list_tags(content->metadata, repository, after, limit, hand_on_tag, &listing,
			       NULL) == BW_OK) {
		enum status status = content_still_complete(content, error);

		if (status == BW_OK || *listing.last)
			return status;
	}
	if (listing.stopped || listing.left == 0)
		return BW_OK;
	return list_stored_tags(content, repository, *listing.last ? listing.last : after, &listing,
				error);
}

/* ---- referrers ---- */

struct referrer_listing {
	referrer_list_fn fn;
	void *context;
	bool stopped;
	struct digest last; /* DIGEST_NONE: none yet */
};

static bool hand_on_referrer(void *context, const struct digest *digest, const char *descriptor)
{
	struct referrer_listing *listing = context;

	listing->last = *digest;
	listing->stopped = !listing->fn(listing->context, digest, descriptor);
	return !listing->stopped;
}

struct referrer_page {
	struct digest *digests;
	size_t count;
};

static bool take_referrer(void *context, const char *key, const struct object_info *info)
{
	struct referrer_page *page = context;
	struct parsed_key parsed;

	(void)info;
	key_parse(key, &parsed);
	if (parsed.kind == KEY_REFERRER)
		page->digests[page->count++] = parsed.digest;
	return page->count < PAGE_MAX;
}

/* The record of a referrer says only that there may be one: the manifest itself may
 * be removed, or not have been stored in the end. A damaged one cannot be pulled
 * either, and must not hide the others. */
static enum status hand_on_stored(struct content *content, const char *repository,
				  const struct digest *subject, const struct digest *digest,
				  struct referrer_listing *listing, struct error *error)
{
	struct manifest_entry entry = {0};
	struct manifest parsed = {0};
	struct error trouble = {0};
	char *descriptor = NULL;
	enum status status = content_get_manifest(content, repository, digest, &entry, &trouble);

	if (status == BW_ABSENT || status == BW_CORRUPT)
		return BW_OK;
	if (status != BW_OK) {
		if (error)
			*error = trouble;
		return status;
	}
	if (manifest_parse(entry.body, entry.body_length, entry.media_type, &parsed, NULL) ==
		    BW_OK &&
	    parsed.has_subject && digest_equals(&parsed.subject.digest, subject) &&
	    referrer_descriptor(entry.body, entry.body_length, entry.media_type, digest, &parsed,
				&descriptor, NULL) == BW_OK)
		hand_on_referrer(listing, digest, descriptor);
	free(descriptor);
	manifest_release(&parsed);
	manifest_entry_release(&entry);
	return BW_OK;
}

static enum status list_stored_referrers(struct content *content, const char *repository,
					 const struct digest *subject, const struct digest *after,
					 struct referrer_listing *listing, struct error *error)
{
	struct referrer_page page = {.digests = xcalloc(PAGE_MAX, sizeof(*page.digests))};
	char prefix[KEY_SIZE];
	char cursor[KEY_SIZE] = "";
	enum status status;

	key_of_referrers(prefix, repository, subject);
	if (after)
		key_of_referrer(cursor, repository, subject, after);
	do {
		page.count = 0;
		status = object_list(content->objects, prefix, cursor, take_referrer, &page, error);
		for (size_t i = 0; status == BW_OK && !listing->stopped && i < page.count; i++)
			status = hand_on_stored(content, repository, subject, &page.digests[i],
						listing, error);
		if (page.count > 0)
			key_of_referrer(cursor, repository, subject, &page.digests[page.count - 1]);
	} while (status == BW_OK && !listing->stopped && page.count == PAGE_MAX);
	free(page.digests);
	return status;
}

enum status content_list_referrers(struct content *content, const char *repository,
				   const struct digest *subject, const struct digest *after,
				   referrer_list_fn fn, void *context, struct error *error)
{
	struct referrer_listing listing = {.fn = fn, .context = context};

	if (content_is_complete(content) &&
	    metadata_list_referrers(content->metadata, repository, subject, after, hand_on_referrer,
				    &listing, NULL) == BW_OK) {
		enum status status = content_still_complete(content, error);

		if (status == BW_OK || listing.last.algorithm != DIGEST_NONE)
			return status;
	}
	if (listing.stopped)
		return BW_OK;
	if (listing.last.algorithm != DIGEST_NONE)
		after = &listing.last;
	return list_stored_referrers(content, repository, subject, after, &listing, error);
}
