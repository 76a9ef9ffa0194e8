#include "server/cli/maintain.h"

#include "server/base/memory.h"
#include "server/base/str.h"
#include "server/cli/reporter.h"
#include "server/cli/terminal.h"
#include "server/config/config.h"
#include "server/maintenance/gc.h"
#include "server/maintenance/reindex.h"
#include "server/maintenance/scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_MAX ((size_t)64 << 10) /* of a summary, or of one finding */

#define OUTPUT_OPTION \
	{ \
		"output", "FORM", "text (without it), or json: one object" \
	}

const struct command_option maintain_gc_options[3] = {
	{"dry-run", NULL, "say what would be removed"},
	{"delete", NULL, "remove it"},
	OUTPUT_OPTION,
};
const struct command_option maintain_scrub_options[3] = {
	{"quarantine", NULL, "move what is damaged out of the way"},
	{"rate", "SIZE", "read at most so many bytes a second, as in 50MiB"},
	OUTPUT_OPTION,
};
const struct command_option maintain_reindex_options[1] = {OUTPUT_OPTION};

/* ---- before anything is opened ----------------------------------------- */

int maintain_read_options(const struct invocation *invocation, struct maintain_options *ret)
{
	const char *output = command_option(invocation, "output");
	const char *rate = command_option(invocation, "rate");
	bool dry_run = command_option(invocation, "dry-run");
	struct maintain_options options = {
		.json = output && strcmp(output, "json") == 0,
		.remove = command_option(invocation, "delete"),
		.quarantine = command_option(invocation, "quarantine"),
	};

	if (output && !options.json && strcmp(output, "text") != 0)
		return command_usage_error(invocation, "there is no output \"%s\"", output);
	if (rate &&
	    (!str_parse_size(rate, &options.bytes_per_second) || options.bytes_per_second == 0))
		return command_usage_error(invocation, "--rate is a size, such as 50MiB");
	if (invocation->command->options == maintain_gc_options && dry_run == options.remove)
		return command_usage_error(invocation,
					   "it needs one of --dry-run, which only tells, and "
					   "--delete");
	*ret = options;
	return EXIT_DONE;
}

/* What the server made: its lock. */
static bool owned_by_somebody_else(const char *root, uid_t *ret_owner)
{
	char *path = xasprintf("%s/lock", root);
	struct stat file;
	bool other = geteuid() == 0 && stat(path, &file) == 0 && file.st_uid != 0;

	free(path);
	if (other)
		*ret_owner = file.st_uid;
	return other;
}

static bool has_server(const char *root)
{
	char *path = xasprintf("%s/lock", root);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool has = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd); /* gives the lock back */
	free(path);
	return has;
}

/* A server goes on writing to an index that was deleted. One begun beside it
 * would lack that, and be taken for complete by the next server. */
static bool index_deleted_in_use(const struct config *config)
{
	return !config->metadata.use_redis && access(config->metadata.sqlite_path, F_OK) < 0 &&
	       errno == ENOENT && has_server(config->storage.root_directory);
}

bool maintain_may_open(const struct invocation *invocation, const struct config *config)
{
	const char *root = config->storage.root_directory;
	struct stat folder;
	uid_t owner = 0;

	if (config->storage.use_s3)
		return true;
	if (stat(root, &folder) < 0) {
		char *here = getcwd(NULL, 0);

		terminal_error("%s: there is no store at \"%s\" (%s; the working directory is %s): "
			       "use the configuration of the server, and where it names a relative "
			       "path, the server's working directory",
			       invocation->command->name, root, strerror(errno), here ? here : "?");
		free(here);
		return false;
	}
	if (owned_by_somebody_else(root, &owner)) {
		terminal_error("%s: the store at \"%s\" belongs to user %u: files that root makes "
			       "there could not be opened by the server; run it as that user, as "
			       "in \"setpriv --reuid %u breakwater %s ...\"",
			       invocation->command->name, root, (unsigned)owner, (unsigned)owner,
			       invocation->command->name);
		return false;
	}
	if (index_deleted_in_use(config)) {
		terminal_error("%s: a server uses the store at \"%s\", but its index \"%s\" is not "
			       "there: restart the server, and it rebuilds it",
			       invocation->command->name, root, config->metadata.sqlite_path);
		return false;
	}
	return true;
}

/* ---- the end ----------------------------------------------------------- */

static void print_json_end(struct buf *json, enum status status, const struct error *error)
{
	buf_printf(json, ",\"result\":\"%s\",\"error\":",
		   status == BW_OK          ? "done"
		   : status == BW_CANCELLED ? "stopped"
					    : "failed");
	if (status == BW_OK)
		buf_append_string(json, "null");
	else
		buf_append_json(json, error->message, strlen(error->message));
	buf_append_string(json, "}\n");
	fputs(buf_string(json), stdout);
}

/* The exit code, after saying what went wrong. */
static int finish(const char *command, enum status status, const struct error *error)
{
	if (status == BW_OK)
		return EXIT_DONE;
	terminal_error("%s: %s%s", command, error->message,
		       status == BW_NO_SPACE ? "; it needs a few MiB itself, for its marks and the "
					       "index: free them and run it again"
					     : "");
	return EXIT_FAILED;
}

static void append_blobs(struct buf *text, uint64_t count, uint64_t bytes)
{
	char size[32];

	str_format_size(bytes, size, sizeof(size));
	buf_printf(text, "%" PRIu64 " %s, %s", count, count == 1 ? "blob" : "blobs", size);
}

/* ---- gc ---------------------------------------------------------------- */

static void describe_gc(const void *what, struct buf *text)
{
	const struct gc_summary *summary = what;

	switch (summary->stage) {
	case GC_UPLOADS:
		buf_append_string(text, "looking for abandoned uploads");
		break;
	case GC_MARKING:
		buf_printf(text,
			   "reading references: %" PRIu64 " repositories, %" PRIu64
			   " manifests, %" PRIu64 " links",
			   summary->marked.repositories, summary->marked.manifests,
			   summary->marked.links);
		break;
	case GC_SWEEPING:
	case GC_ENDED:
		append_blobs(text, summary->seen, summary->seen_bytes);
		buf_append_string(text, " looked at; garbage: ");
		append_blobs(text, summary->garbage, summary->garbage_bytes);
		break;
	}
}

static void print_gc_text(const struct gc_summary *summary, bool removed)
{
	struct buf text = BUF_INIT(OUTPUT_MAX);
	uint64_t uploads = summary->uploads.sessions + summary->uploads.parts;

	buf_append_string(&text, "stored            ");
	append_blobs(&text, summary->seen, summary->seen_bytes);
	buf_append_string(&text, "\nreferred to       ");
	append_blobs(&text, summary->seen - summary->garbage,
		     summary->seen_bytes - summary->garbage_bytes);
	buf_append_string(&text, removed ? "\nremoved           " : "\nwould be removed  ");
	append_blobs(&text, removed ? summary->removed : summary->garbage,
		     removed ? summary->removed_bytes : summary->garbage_bytes);
	if (summary->marked.loose > 0)
		buf_printf(&text, "\n%s%" PRIu64 " links of blobs that no image lists",
			   removed ? "removed           " : "would be removed  ",
			   removed ? summary->unlinked : summary->marked.loose);
	if (summary->kept > 0)
		buf_printf(&text, "\nkept              %" PRIu64 " that were pushed meanwhile",
			   summary->kept);
	buf_printf(&text, "\n%s%" PRIu64 " abandoned %s\n",
		   removed ? "removed           " : "would be removed  ", uploads,
		   uploads == 1 ? "upload" : "uploads");
	if (summary->marked.foreign > 0)
		buf_printf(&text,
			   "passed over       %" PRIu64
			   " objects under repositories/ that are none "
			   "of ours\n",
			   summary->marked.foreign);
	fputs(buf_string(&text), stdout);
	buf_release(&text);
}

static void print_gc_json(const struct gc_summary *summary, bool removed, enum status status,
			  const struct error *error)
{
	struct buf json = BUF_INIT(OUTPUT_MAX);

	buf_printf(&json,
		   "{\"dryRun\":%s,\"repositories\":%" PRIu64 ",\"manifests\":%" PRIu64
		   ",\"links\":%" PRIu64 ",\"unneededLinks\":%" PRIu64 ",\"removedLinks\":%" PRIu64,
		   removed ? "false" : "true", summary->marked.repositories,
		   summary->marked.manifests, summary->marked.links, summary->marked.loose,
		   summary->unlinked);
	buf_printf(&json,
		   ",\"blobs\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"garbageBlobs\":%" PRIu64
		   ",\"garbageBytes\":%" PRIu64,
		   summary->seen, summary->seen_bytes, summary->garbage, summary->garbage_bytes);
	buf_printf(&json,
		   ",\"removedBlobs\":%" PRIu64 ",\"removedBytes\":%" PRIu64
		   ",\"keptBlobs\":%" PRIu64 ",\"expiredUploads\":%" PRIu64,
		   summary->removed, summary->removed_bytes, summary->kept,
		   summary->uploads.sessions + summary->uploads.parts);
	print_json_end(&json, status, error);
	buf_release(&json);
}

int maintain_gc(const struct maintain_options *options, const struct config *config,
		struct content *content)
{
	struct gc_options wanted = {
		.remove = options->remove,
		.upload_max_age_ms = config->uploads.max_age_ms,
		.link_max_age_ms = config->uploads.max_age_ms > GC_LINK_MAX_AGE_MS
					   ? config->uploads.max_age_ms
					   : GC_LINK_MAX_AGE_MS,
		.grace_ms = GC_GRACE_MS,
	};
	struct gc_summary summary = {0};
	struct reporter reporter;
	struct error error = {0};
	enum status status;

	reporter_init(&reporter, "gc", describe_gc, &summary);
	status = gc_collect(content, &wanted, &reporter.task, &summary, &error);
	reporter_clear(&reporter);
	if (options->json)
		print_gc_json(&summary, options->remove, status, &error);
	else if (status == BW_OK || summary.removed > 0)
		print_gc_text(&summary, options->remove);
	return finish("gc", status, &error);
}

/* ---- scrub ------------------------------------------------------------- */

struct scrubbed {
	struct scrub_summary summary;
	struct reporter reporter;
	bool json;
	struct buf findings; /* of JSON: the list's items */
};

static void describe_scrub(const void *what, struct buf *text)
{
	const struct scrub_summary *summary = what;

	if (summary->blobs == 0)
		buf_printf(text, "%" PRIu64 " records looked at", summary->records);
	else
		append_blobs(text, summary->blobs, summary->bytes);
	buf_printf(text, "; %" PRIu64 " bad", summary->bad);
}

static const char *fault_name(enum scrub_fault fault)
{
	switch (fault) {
	case SCRUB_DAMAGED:
		return "damaged";
	case SCRUB_UNREADABLE:
		return "unreadable";
	case SCRUB_BODY_GONE:
		return "manifest without its body";
	case SCRUB_BYTES_GONE:
		return "link without its bytes";
	}
	return "";
}

static void finding_as_text(const struct scrub_finding *finding, struct buf *text)
{
	buf_printf(text, "%s  %s  %" PRIu64 " bytes", fault_name(finding->fault), finding->key,
		   finding->size);
	for (size_t i = 0; i < finding->repository_count; i++)
		buf_printf(text, "%s%s", i ? ", " : "  in ", finding->repositories[i]);
	if (finding->quarantined)
		buf_append_string(text, "  quarantined");
	if (*finding->detail)
		buf_printf(text, "  (%s)", finding->detail);
	buf_append_char(text, '\n');
}

static void finding_as_json(const struct scrub_finding *finding, struct buf *json)
{
	buf_append_string(json, "{\"fault\":");
	buf_append_json(json, fault_name(finding->fault), strlen(fault_name(finding->fault)));
	buf_append_string(json, ",\"key\":");
	buf_append_json(json, finding->key, strlen(finding->key));
	buf_printf(json, ",\"size\":%" PRIu64 ",\"quarantined\":%s,\"detail\":", finding->size,
		   finding->quarantined ? "true" : "false");
	buf_append_json(json, finding->detail, strlen(finding->detail));
	buf_append_string(json, ",\"repositories\":[");
	for (size_t i = 0; i < finding->repository_count; i++) {
		buf_append_string(json, i ? "," : "");
		buf_append_json(json, finding->repositories[i], strlen(finding->repositories[i]));
	}
	buf_append_string(json, "]}");
}

#define FINDINGS_MAX ((size_t)4 << 20) /* of JSON; what lies behind is counted alone */

static void on_finding(void *context, const struct scrub_finding *finding)
{
	struct scrubbed *scrubbed = context;
	struct buf text = BUF_INIT(OUTPUT_MAX);

	reporter_clear(&scrubbed->reporter);
	if (scrubbed->json) {
		finding_as_json(finding, &text);
		if (scrubbed->findings.length + text.length < FINDINGS_MAX) {
			buf_append_string(&scrubbed->findings,
					  scrubbed->findings.length ? "," : "");
			buf_append_string(&scrubbed->findings, buf_string(&text));
		}
	} else {
		finding_as_text(finding, &text);
		fputs(buf_string(&text), stdout);
		fflush(stdout);
	}
	buf_release(&text);
}

static void print_scrub(const struct scrubbed *scrubbed, enum status status,
			const struct error *error)
{
	const struct scrub_summary *summary = &scrubbed->summary;
	struct buf text = BUF_INIT(FINDINGS_MAX + OUTPUT_MAX);

	if (scrubbed->json) {
		buf_printf(&text,
			   "{\"blobs\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"records\":%" PRIu64
			   ",\"bad\":%" PRIu64 ",\"quarantined\":%" PRIu64
			   ",\"unfinished\":%" PRIu64 ",\"findings\":[",
			   summary->blobs, summary->bytes, summary->records, summary->bad,
			   summary->quarantined, summary->unfinished);
		buf_append_string(&text, buf_string(&scrubbed->findings));
		buf_append_char(&text, ']');
		print_json_end(&text, status, error);
	} else {
		append_blobs(&text, summary->blobs, summary->bytes);
		buf_printf(&text,
			   " read, %" PRIu64 " records looked at: %" PRIu64 " bad, %" PRIu64
			   " quarantined\n",
			   summary->records, summary->bad, summary->quarantined);
		fputs(buf_string(&text), stdout);
	}
	buf_release(&text);
}

int maintain_scrub(const struct maintain_options *options, const struct config *config,
		   struct content *content)
{
	struct scrubbed scrubbed = {.json = options->json, .findings = BUF_INIT(FINDINGS_MAX)};
	struct scrub_options wanted = {
		.quarantine = options->quarantine,
		.bytes_per_second = options->bytes_per_second,
		.found = on_finding,
		.context = &scrubbed,
	};
	struct error error = {0};
	enum status status;
	int code;

	(void)config;
	reporter_init(&scrubbed.reporter, "scrub", describe_scrub, &scrubbed.summary);
	status = scrub(content, &wanted, &scrubbed.reporter.task, &scrubbed.summary, &error);
	reporter_clear(&scrubbed.reporter);
	print_scrub(&scrubbed, status, &error);
	code = finish("scrub", status, &error);
	buf_release(&scrubbed.findings);
	return scrubbed.summary.bad > 0 ? EXIT_FAILED : code;
}

/* ---- reindex ----------------------------------------------------------- */

static void describe_reindex(const void *what, struct buf *text)
{
	const struct reindex_summary *summary = what;

	buf_printf(text,
		   "%" PRIu64 " repositories, %" PRIu64 " manifests, %" PRIu64 " tags, %" PRIu64
		   " links, %" PRIu64 " blobs",
		   summary->repositories, summary->manifests, summary->tags, summary->links,
		   summary->blobs);
}

static void print_reindex_json(const struct reindex_summary *summary, enum status status,
			       const struct error *error)
{
	struct buf json = BUF_INIT(OUTPUT_MAX);

	buf_printf(&json,
		   "{\"repositories\":%" PRIu64 ",\"manifests\":%" PRIu64 ",\"tags\":%" PRIu64
		   ",\"links\":%" PRIu64 ",\"blobs\":%" PRIu64 ",\"stale\":%" PRIu64
		   ",\"damaged\":%" PRIu64,
		   summary->repositories, summary->manifests, summary->tags, summary->links,
		   summary->blobs, summary->stale, summary->damaged);
	print_json_end(&json, status, error);
	buf_release(&json);
}

int maintain_reindex(const struct maintain_options *options, const struct config *config,
		     struct content *content)
{
	struct reindex_summary summary = {0};
	struct reporter reporter;
	struct error error = {0};
	struct buf text = BUF_INIT(OUTPUT_MAX);
	enum status status;

	(void)config;
	reporter_init(&reporter, "reindex", describe_reindex, &summary);
	status = reindex(content, &reporter.task, &summary, &error);
	reporter_clear(&reporter);
	describe_reindex(&summary, &text);
	if (options->json)
		print_reindex_json(&summary, status, &error);
	else if (status == BW_OK)
		printf("%s; %" PRIu64 " entries that the store does not have were taken out\n",
		       buf_string(&text), summary.stale);
	buf_release(&text);
	if (summary.damaged > 0)
		terminal_warning("%" PRIu64 " damaged records were passed over, the first: %s",
				 summary.damaged, summary.damage);
	return finish("reindex", status, &error);
}
