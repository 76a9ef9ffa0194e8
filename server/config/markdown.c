/*
 * The table as Markdown, for the README.
 */
#include "server/config/config.h"

#include "server/base/buf.h"
#include "server/config/config_table.h"

#include <string.h>

/* A list's default is written the way a file has it. */
static void write_default(const struct config_key *key, struct buf *buf)
{
	const char *text = key->fallback;

	if (!text)
		return;
	if (config_key_is_scalar(key)) {
		buf_printf(buf, "`%s`", text);
		return;
	}
	buf_append_string(buf, "`[");
	while (*text) {
		int length = (int)strcspn(text, " ");
		const char *quote = *text == '*' ? "\"" : "";

		buf_printf(buf, "%s%.*s%s", quote, length, text, quote);
		text += length;
		if (*text == ' ') {
			buf_append_string(buf, ", ");
			text++;
		}
	}
	buf_append_string(buf, "]`");
}

/* Sections have a row only where they can be more than a heading. */
static bool has_row(const struct config_key *key)
{
	return !key->later && (key->type != KEY_SECTION || key->word);
}

void config_write_markdown(struct buf *buf)
{
	buf_append_string(buf, "| key | default | meaning |\n|-|-|-|\n");
	for (const struct config_key *key = config_keys; key->path; key++) {
		if (!has_row(key))
			continue;
		buf_printf(buf, "| `%s` | ", key->path);
		write_default(key, buf);
		buf_printf(buf, " | %s |\n", key->help);
	}
}
