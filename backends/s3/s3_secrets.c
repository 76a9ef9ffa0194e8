#include "backends/s3/s3_secrets.h"

#include "backends/s3/s3_store.h"
#include "server/base/clock.h"
#include "server/base/file.h"
#include "server/base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_MS 1000

enum { ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, SECRET_COUNT };

struct s3_secrets {
	char *files[SECRET_COUNT]; /* NULL: none */
	pthread_mutex_t lock; /* covers the rest; leaf, not held over I/O */
	char *values[SECRET_COUNT]; /* NULL: none */
	struct file_stamp stamps[SECRET_COUNT];
	int64_t next_look_ms; /* monotonic */
};

static void secret_free(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void s3_secret_release(struct s3_secret *secret)
{
	secret_free(secret->access_key);
	secret_free(secret->secret_key);
	secret_free(secret->session_token);
	*secret = (struct s3_secret){0};
}

static bool given(const char *text)
{
	return text && *text;
}

/* Reads the files into values of the caller's. All or nothing: an access key is worth
 * nothing with another's secret. */
static enum status read_files(const struct s3_secrets *secrets, char *ret_values[SECRET_COUNT],
			      struct file_stamp ret_stamps[SECRET_COUNT], struct error *error)
{
	enum status status = BW_OK;

	for (size_t i = 0; i < SECRET_COUNT && !status; i++) {
		ret_values[i] = NULL;
		ret_stamps[i] = (struct file_stamp){0};
		if (!secrets->files[i])
			continue;
		ret_stamps[i] = file_stamp_of(secrets->files[i]);
		status = file_read_secret(secrets->files[i], &ret_values[i], error);
		if (status)
			for (size_t n = 0; n < i; n++)
				secret_free(ret_values[n]);
	}
	return status;
}

/* Takes the values. */
static void install(struct s3_secrets *secrets, char *values[SECRET_COUNT],
		    const struct file_stamp stamps[SECRET_COUNT])
{
	pthread_mutex_lock(&secrets->lock);
	for (size_t i = 0; i < SECRET_COUNT; i++) {
		if (!secrets->files[i])
			continue;
		secret_free(secrets->values[i]);
		secrets->values[i] = values[i];
		secrets->stamps[i] = stamps[i];
	}
	pthread_mutex_unlock(&secrets->lock);
}

/* One thread at a time looks, and none waits for it. */
static bool must_look(struct s3_secrets *secrets, bool at_once)
{
	int64_t now = clock_monotonic_ms();
	bool must;

	pthread_mutex_lock(&secrets->lock);
	must = at_once || now >= secrets->next_look_ms;
	if (must)
		secrets->next_look_ms = now + LOOK_EVERY_MS;
	pthread_mutex_unlock(&secrets->lock);
	return must;
}

static bool changed(struct s3_secrets *secrets)
{
	bool is_changed = false;

	for (size_t i = 0; i < SECRET_COUNT; i++) {
		struct file_stamp now;

		if (!secrets->files[i])
			continue;
		now = file_stamp_of(secrets->files[i]);
		pthread_mutex_lock(&secrets->lock);
		is_changed |= !file_stamp_equals(&now, &secrets->stamps[i]);
		pthread_mutex_unlock(&secrets->lock);
	}
	return is_changed;
}

static void look(struct s3_secrets *secrets, bool at_once)
{
	struct file_stamp stamps[SECRET_COUNT];
	char *values[SECRET_COUNT];

	if (must_look(secrets, at_once) && changed(secrets) &&
	    read_files(secrets, values, stamps, NULL) == BW_OK)
		install(secrets, values, stamps);
}

static char *copy_or_null(const char *text)
{
	return given(text) ? xstrdup(text) : NULL;
}

enum status s3_secrets_new(const struct s3_options *options, struct s3_secrets **ret_secrets,
			   struct error *error)
{
	struct s3_secrets *secrets = xcalloc(1, sizeof(*secrets));
	struct file_stamp stamps[SECRET_COUNT];
	char *values[SECRET_COUNT];
	enum status status;

	pthread_mutex_init(&secrets->lock, NULL);
	secrets->files[ACCESS_KEY] = copy_or_null(options->access_key_file);
	secrets->files[SECRET_KEY] = copy_or_null(options->secret_key_file);
	secrets->files[SESSION_TOKEN] = copy_or_null(options->session_token_file);
	secrets->values[ACCESS_KEY] = copy_or_null(options->access_key);
	secrets->values[SECRET_KEY] = copy_or_null(options->secret_key);
	status = read_files(secrets, values, stamps, error);
	if (!status)
		install(secrets, values, stamps);
	if (!status && !secrets->values[ACCESS_KEY] != !secrets->values[SECRET_KEY])
		status = error_set(error, BW_INVALID,
				   "the %s of the S3 store is missing: access key and secret key "
				   "go together",
				   secrets->values[ACCESS_KEY] ? "secret key" : "access key");
	if (status)
		s3_secrets_free(secrets);
	else
		*ret_secrets = secrets;
	return status;
}

void s3_secrets_free(struct s3_secrets *secrets)
{
	if (!secrets)
		return;
	for (size_t i = 0; i < SECRET_COUNT; i++) {
		free(secrets->files[i]);
		secret_free(secrets->values[i]);
	}
	pthread_mutex_destroy(&secrets->lock);
	free(secrets);
}

void s3_secrets_get(struct s3_secrets *secrets, struct s3_secret *ret_secret)
{
	look(secrets, false);
	pthread_mutex_lock(&secrets->lock);
	*ret_secret = (struct s3_secret){
		.access_key = copy_or_null(secrets->values[ACCESS_KEY]),
		.secret_key = copy_or_null(secrets->values[SECRET_KEY]),
		.session_token = xstrdup(
			secrets->values[SESSION_TOKEN] ? secrets->values[SESSION_TOKEN] : ""),
	};
	pthread_mutex_unlock(&secrets->lock);
}

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool s3_secrets_renewed(struct s3_secrets *secrets, const struct s3_secret *refused)
{
	struct s3_secret now;
	bool renewed;

	look(secrets, true);
	s3_secrets_get(secrets, &now);
	renewed = !same(now.access_key, refused->access_key) ||
		  !same(now.secret_key, refused->secret_key) ||
		  !same(now.session_token, refused->session_token);
	s3_secret_release(&now);
	return renewed;
}
