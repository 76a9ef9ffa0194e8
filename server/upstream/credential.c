#include "server/upstream/credential.h"

#include "server/base/digest.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* More than the credentials and services any configuration has in use; past
 * it the record longest unused is forgotten. */
#define MAX_RECORDS 64

struct record {
	char key[FINGERPRINT_SIZE]; /* "": free */
	unsigned users; /* logins under way and waiting */
	bool trying; /* one login is under way, its outcome unknown */
	bool accepted; /* and not refused too often since */
	unsigned failures; /* in a row */
	unsigned unknowns; /* tries that ended without an outcome */
	int64_t refused_until_ms;
	int64_t used_ms;
};

struct login_memory {
	pthread_mutex_t lock; /* covers the records; leaf */
	pthread_cond_t ended; /* some login's outcome is known */
	struct record records[MAX_RECORDS];
};

const char *credential_name(const struct credential_config *credential)
{
	return credential ? credential->name : CREDENTIAL_ANONYMOUS;
}

/* With its length before it, so that "ab","c" and "a","bc" differ. */
static void hash_part(struct hasher *hasher, const char *part)
{
	uint64_t length = strlen(part);

	hasher_update(hasher, &length, sizeof(length));
	hasher_update(hasher, part, length);
}

void credential_fingerprint(const struct credential_config *credential, const char *const *parts,
			    size_t count, char target[FINGERPRINT_SIZE])
{
	struct hasher hasher;
	struct digest digest;

	hasher_init(&hasher, DIGEST_SHA256);
	for (size_t i = 0; i < count; i++)
		hash_part(&hasher, parts[i]);
	if (credential) {
		hash_part(&hasher, credential->name);
		hash_part(&hasher, credential->username);
		hash_part(&hasher, credential->password);
	}
	hasher_finish(&hasher, &digest);
	str_hex(digest.bytes, 32, target);
}

char *credential_basic(const struct credential_config *credential)
{
	static const char scheme[] = "Basic ";
	char *plain = xasprintf("%s:%s", credential->username, credential->password);
	size_t length = strlen(plain);
	char *value = xmalloc(sizeof(scheme) + 4 * ((length + 2) / 3));

	memcpy(value, scheme, sizeof(scheme));
	str_base64((const unsigned char *)plain, length, value + sizeof(scheme) - 1);
	secret_free(plain);
	return value;
}

void secret_free(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

struct login_memory *login_memory_new(void)
{
	struct login_memory *memory = xcalloc(1, sizeof(*memory));

	pthread_mutex_init(&memory->lock, NULL);
	cond_init(&memory->ended);
	return memory;
}

void login_memory_free(struct login_memory *memory)
{
	if (!memory)
		return;
	pthread_cond_destroy(&memory->ended);
	pthread_mutex_destroy(&memory->lock);
	free(memory);
}

static struct record *find(struct login_memory *memory, const char *key)
{
	for (size_t i = 0; i < MAX_RECORDS; i++) {
		if (strcmp(memory->records[i].key, key) == 0)
			return &memory->records[i];
	}
	return NULL;
}

/* NULL when every record is in use, and then nothing is remembered. */
static struct record *find_or_add(struct login_memory *memory, const char *key)
{
	struct record *record = find(memory, key);
	struct record *oldest = NULL;

	if (record)
		return record;
	for (size_t i = 0; i < MAX_RECORDS; i++) {
		record = &memory->records[i];
		if (record->users == 0 && (!oldest || record->used_ms < oldest->used_ms))
			oldest = record;
	}
	if (oldest) {
		*oldest = (struct record){0};
		str_copy(oldest->key, sizeof(oldest->key), key);
	}
	return oldest;
}

static enum status refused(const struct record *record, const char *origin,
			   const struct credential_config *credential, struct error *error)
{
	int left_s = (int)((record->refused_until_ms - clock_monotonic_ms() + 999) / 1000);

	error_set(error, BW_DENIED,
		  "%s refused the credential \"%s\"; it is not tried again for %d s", origin,
		  credential->name, left_s);
	if (error)
		error->retry_after = left_s;
	return BW_DENIED;
}

/* With the lock held: waits while the one try is under way that will tell
 * whether the credential is good. */
static enum status wait_for_try(struct login_memory *memory, const struct record *record,
				const char *origin, const struct credential_config *credential,
				deadline_ms deadline, struct error *error)
{
	unsigned unknowns = record->unknowns;

	while (record->trying && !record->accepted &&
	       clock_monotonic_ms() >= record->refused_until_ms) {
		if (!cond_wait_until(&memory->ended, &memory->lock, deadline))
			return error_set(error, BW_TIMEOUT,
					 "the deadline passed, while another login of \"%s\" at %s "
					 "was under way",
					 credential->name, origin);
		/* or everybody who waits would run into the same failure in turn */
		if (record->unknowns != unknowns)
			return error_set(error, BW_UNREACHABLE,
					 "another login of \"%s\" at %s got no answer",
					 credential->name, origin);
	}
	return BW_OK;
}

enum status login_begin(struct login_memory *memory, const char *origin,
			const struct credential_config *credential, deadline_ms deadline,
			struct error *error)
{
	char key[FINGERPRINT_SIZE];
	struct record *record;
	enum status status = BW_OK;

	credential_fingerprint(credential, &origin, 1, key);
	pthread_mutex_lock(&memory->lock);
	record = find_or_add(memory, key);
	if (record) {
		record->used_ms = clock_monotonic_ms();
		record->users++;
		status = wait_for_try(memory, record, origin, credential, deadline, error);
		if (status == BW_OK && clock_monotonic_ms() < record->refused_until_ms)
			status = refused(record, origin, credential, error);
		if (status == BW_OK)
			record->trying = true;
		else
			record->users--;
	}
	pthread_mutex_unlock(&memory->lock);
	return status;
}

/* True when it is not tried for a while from now on. */
static bool note_refusal(struct record *record)
{
	record->failures++;
	if (record->accepted && record->failures < LOGIN_FAILURES)
		return false;
	record->accepted = false;
	record->refused_until_ms = clock_monotonic_ms() + LOGIN_PAUSE_MS;
	return true;
}

void login_end(struct login_memory *memory, const char *origin,
	       const struct credential_config *credential, enum login_outcome outcome)
{
	char key[FINGERPRINT_SIZE];
	struct record *record;
	bool pauses = false;

	credential_fingerprint(credential, &origin, 1, key);
	pthread_mutex_lock(&memory->lock);
	record = find(memory, key);
	if (record) {
		if (outcome == LOGIN_REFUSED)
			pauses = note_refusal(record);
		if (outcome == LOGIN_ACCEPTED) {
			record->accepted = true;
			record->failures = 0;
			record->refused_until_ms = 0;
		}
		if (outcome == LOGIN_UNKNOWN)
			record->unknowns++;
		if (record->users)
			record->users--;
		record->trying = false;
		pthread_cond_broadcast(&memory->ended);
	}
	pthread_mutex_unlock(&memory->lock);
	/* clients get 403, which nobody looks at: somebody has to change the password */
	if (pauses)
		log_event(LOG_ERROR, "credential refused", LOG_S("credential", credential->name),
			  LOG_S("username", credential->username), LOG_S("origin", origin),
			  LOG_I("not_tried_for_s", LOGIN_PAUSE_MS / 1000));
}
