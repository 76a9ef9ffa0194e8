/*
 * What is where in Redis.
 *
 * Every key begins with the store's prefix ("bw:") and a short word for its kind.
 * {...} is its hash tag: an atomic step (a command, a script) touches keys of one hash
 * tag only, which a Redis Cluster would keep in one slot. E is the epoch, 16 hex digits;
 * R a repository, D a digest's text. Scripts make the names of some keys themselves,
 * always of the hash tag of the keys they were given.
 *
 *   epoch                string  "E run_id replid2 TIME": the epoch of this server
 *   swept                string  the epoch whose predecessors are all removed
 *
 * of a repository:
 *   t:{E:R}:TAG          hash    d digest, v version, s stored_at, c validated_at, p pending
 *   tags:{E:R}           zset    its tags
 *   of:{E:R}             zset    "D TAG": its tags by what they point to
 *   v:{E:R}:TAG          string  the highest version given or removed; expires
 *   m:{E:R}:D            hash    m media type, s stored_at, b body, j subject
 *   ml:{E:R}:D           set     what this manifest lists
 *   ms:{E:R}             set     its manifests
 *   l:{E:R}:D            zset    "M SIZE": who lists the blob; M is a manifest, "" a link
 *   ls:{E:R}             set     its links
 *   r:{E:R}:D            hash    manifest: descriptor; the referrers of D
 *   ro:{E:R}:D           zset    the same manifests in order
 *   repo:{E:R}           string  the repository is in the catalog
 *   d:{E:R}:KIND:KEY     hash    m media type, c validated_at, b body: a document
 * of a digest:
 *   b:{E:D}              string  "SIZE STORED_AT": the blob is stored
 *   k:{E:D}              zset    repositories that link it
 *   h:{E:D}              zset    repositories that link or list it, or have it as manifest
 * by themselves:
 *   catalog:{E}          zset    repositories
 *   idle:{E}             zset    "R D" by when the manifest was last used
 *   usage:{E}            hash    bytes, linked
 *   mark:{E}:NAME        string
 *   u:{ID}               hash    r repository, c caller, x state, n revision, b started_at,
 *                                a touched_at: an upload
 *   uploads              zset    ids by touched_at
 *   lease:{NAME}         hash    h holder, f fence; expires
 *   fence:{NAME}         string  the last fence; expires
 *   notes:{GROUP}        hash    name: "EXPIRES_AT PUT_AT VALUE"; expires
 *
 * Sets that are listed in byte order are sorted sets of scores 0. Versions are decimals
 * of 19 digits, which compare as text: Lua's numbers are doubles.
 *
 * Uploads, leases and notes carry no epoch. An upload outlives a restart of Redis that
 * kept its row; one that is older than what was acknowledged is found out by its offset,
 * the client sends the rest again, and the parts are in the object store. A lease or a
 * note is only advice.
 *
 * Steps that are not one, because their keys are of two hash tags, in the order in
 * which they are done, and why dying in between is harmless:
 *
 *   a manifest, then `h` of what it lists
 *                      a holder that is missing: the eviction may take a cached blob
 *                      too early. Nobody pushes what a manifest alone lists
 *   `h`, a link, `h` again and `k`
 *                      a holder that is none: a blob is evicted later; a link that is
 *                      missing in `k`: a mount becomes an upload
 *   a removal, then `h` and `k`, then a look whether it came back meanwhile, and if so
 *   h and k again      a holder that is none: a blob is evicted later. Whoever puts it
 *                      back adds to h and k after that, so one of the two sees to it
 *   catalog, repo, catalog again; a removal: repo, catalog, a look at repo, as above
 *                      a repository that is listed and has nothing
 *   a manifest's removal, then `idle`; touching: `m` is looked at, then `idle`
 *                      a manifest that is idle and not there: removing it again is
 *                      nothing
 *   `b` and `k`, then `usage`
 *                      usage is off by that blob until the next epoch
 *   uploads, then u; u, then uploads
 *                      an id without a row: list_uploads removes it; a row listed as
 *                      older than it is: who expires it looks at the row
 */
#ifndef BACKENDS_REDIS_REDIS_KEYS_H
#define BACKENDS_REDIS_REDIS_KEYS_H

#define REDIS_PREFIX "bw:"
#define REDIS_EPOCH_SIZE 17 /* 16 hex digits and NUL */

#define KEY_EPOCH "epoch"
#define KEY_SWEPT "swept"

#define KEY_TAG "t"
#define KEY_TAGS "tags"
#define KEY_TAGS_OF "of"
#define KEY_VERSION "v"
#define KEY_MANIFEST "m"
#define KEY_MANIFEST_LISTS "ml"
#define KEY_MANIFESTS "ms"
#define KEY_LISTED "l"
#define KEY_LINKS "ls"
#define KEY_REFERRERS "r"
#define KEY_REFERRERS_ORDER "ro"
#define KEY_REPOSITORY "repo"
#define KEY_DOCUMENT "d"

#define KEY_BLOB "b"
#define KEY_LINKED_BY "k"
#define KEY_HELD_BY "h"

#define KEY_CATALOG "catalog"
#define KEY_IDLE "idle"
#define KEY_USAGE "usage"
#define KEY_MARK "mark"

#define KEY_UPLOAD "u"
#define KEY_UPLOADS "uploads"
#define KEY_LEASE "lease"
#define KEY_FENCE "fence"
#define KEY_NOTES "notes"

#endif
