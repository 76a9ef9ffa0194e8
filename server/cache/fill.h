/*
 * Fetching a blob once, for everybody who waits for it.
 *
 * A fill belongs to a digest. The first one who needs the blob starts it, on
 * threads of its upstream (or of our object store, when that is remote and has it);
 * everyone else joins. States only increase:
 *
 *   PENDING    queued, or asking; no byte yet
 *   STREAMING  the size is known (and not 0) and bytes are coming
 *   DONE       every byte is there and the digest matched
 *   FAILED     given up; the error says why
 *
 * Bytes go to a spool file. Readers follow the published offset and read the
 * file with pread or sendfile, holding no lock. The last FILL_WITHHELD bytes
 * are published only with DONE, so a corrupt body is never completed: a reader
 * of it sees FAILED before it has everything. A broken read resumes with Range.
 * No client's coming or going touches a fill. After DONE the file is offered to
 * the hot cache and moves into the object store (unless it came from there), while
 * readers go on reading what they have open; until it is there, newcomers still
 * find the fill.
 *
 * Locks: the table's covers the map and the lanes, and a work pool's and a
 * metric's are taken under it; a fill's covers its state, and is a leaf. Neither
 * is held over I/O.
 */
#ifndef CACHE_FILL_H
#define CACHE_FILL_H

#include "server/base/clock.h"
#include "server/base/digest.h"
#include "server/base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct cache_options;
struct hot_cache;
struct upstream;
struct upstream_set;
struct fill;
struct fill_table;

#define FILL_WITHHELD ((uint64_t)64 << 10) /* bytes at the end, or all of a smaller blob */

enum fill_state { FILL_PENDING, FILL_STREAMING, FILL_DONE, FILL_FAILED };

/* The spool's folder is emptied: what lies there is of a process that died. `hot`
 * (or NULL) stays the caller's and is offered what was fetched. */
enum status fill_table_new(const struct cache_options *options, struct hot_cache *hot,
			   struct fill_table **ret_table, struct error *error);
/* Cancels what is running and waits for it. No reader may be left. */
void fill_table_free(struct fill_table *table);

struct fill_source {
	struct upstream_set *set; /* the fill takes a reference of its own */
	struct upstream *upstream; /* NULL: our own object store; set and repository too */
	const char *repository; /* at the upstream */
	struct digest digest;
	bool has_size;
	/* As a manifest lists it. An upstream's body of another size is refused; of
	 * what is stored the manifest may be wrong. */
	uint64_t size;
	/* Our repository whose readers may have the blob once its digest matched,
	 * by a link, since no manifest of it lists the blob. NULL: one does. */
	const char *link_from;
};

/* What a fill was when it was joined. */
struct fill_joined {
	/* It asks the same upstream and repository. The failure of another
	 * source's fill says nothing about ours. */
	bool same_source;
	bool was_done; /* nothing had to be fetched for who joined */
};

/* The running fill of this digest, or a new one. *ret_fill is the caller's to
 * unref; `ret_joined` may be NULL. BW_UNAVAILABLE when too many wait already or
 * we are stopping. */
enum status fill_join(struct fill_table *table, const struct fill_source *source,
		      struct fill **ret_fill, struct fill_joined *ret_joined, struct error *error);

/* The running fill of this digest, the caller's to unref; NULL: there is none. */
struct fill *fill_find(struct fill_table *table, const struct digest *digest);

void fill_unref(struct fill *fill);

/* Waits until the size is known: BW_OK from STREAMING on (*ret_size). FAILED:
 * the fill's error. BW_CONFLICT: it turned out to be stored already; open it
 * from the content. BW_TIMEOUT: still PENDING at the deadline. */
enum status fill_wait_size(struct fill *fill, deadline_ms deadline, uint64_t *ret_size,
			   struct error *error);

/* Waits until bytes after `offset` are published: BW_OK with *ret_end > offset,
 * up to which fill_file may be read (the whole blob once DONE). FAILED: the
 * fill's error. BW_TIMEOUT: nothing new by the deadline. */
enum status fill_wait_bytes(struct fill *fill, uint64_t offset, deadline_ms deadline,
			    uint64_t *ret_end, struct error *error);

/* Waits for DONE (BW_OK) or FAILED (its error). */
enum status fill_wait_done(struct fill *fill, deadline_ms deadline, struct error *error);

/* The spool file, for reading below the published offset. Not the caller's. */
int fill_file(const struct fill *fill);

#endif
