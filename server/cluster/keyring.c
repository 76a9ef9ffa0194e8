#include "server/cluster/keyring.h"

#include "server/base/clock.h"
#include "server/base/memory.h"
#include "server/base/str.h"

#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE SHA256_DIGEST_SIZE

/* Keeps this use of the secret apart from any other that people make of it. */
#define KEY_LABEL "breakwater cluster key 1"

struct key {
	uint8_t bytes[KEY_SIZE];
};

struct keyring {
	pthread_mutex_t lock; /* covers all below; a leaf */
	struct key current;
	struct key before;
	int64_t before_until_ms; /* monotonic; 0: there is none */
};

static struct key key_of(const char *secret)
{
	struct hmac_sha256_ctx hmac;
	struct key key;

	hmac_sha256_set_key(&hmac, strlen(secret), (const uint8_t *)secret);
	hmac_sha256_update(&hmac, strlen(KEY_LABEL), (const uint8_t *)KEY_LABEL);
	hmac_sha256_digest(&hmac, sizeof(key.bytes), key.bytes);
	return key;
}

struct keyring *keyring_new(const char *secret)
{
	struct keyring *keyring = xcalloc(1, sizeof(*keyring));

	pthread_mutex_init(&keyring->lock, NULL);
	keyring->current = key_of(secret);
	return keyring;
}

void keyring_free(struct keyring *keyring)
{
	if (!keyring)
		return;
	pthread_mutex_destroy(&keyring->lock);
	explicit_bzero(keyring, sizeof(*keyring));
	free(keyring);
}

void keyring_replace(struct keyring *keyring, const char *secret)
{
	struct key key = key_of(secret);

	pthread_mutex_lock(&keyring->lock);
	if (memcmp(&key, &keyring->current, sizeof(key)) != 0) {
		keyring->before = keyring->current;
		keyring->before_until_ms = deadline_in(KEYRING_OVERLAP_MS);
		keyring->current = key;
	}
	pthread_mutex_unlock(&keyring->lock);
}

static void mix_text(struct hmac_sha256_ctx *hmac, const char *text)
{
	size_t length = strlen(text);
	uint8_t prefix[8];

	for (size_t i = 0; i < sizeof(prefix); i++)
		prefix[i] = (uint8_t)((uint64_t)length >> (56 - 8 * i));
	hmac_sha256_update(hmac, sizeof(prefix), prefix);
	hmac_sha256_update(hmac, length, (const uint8_t *)text);
}

static void sign(const struct key *key, const char *purpose, const char *const *texts,
		 char signature[SIGNATURE_SIZE])
{
	struct hmac_sha256_ctx hmac;
	uint8_t mac[SHA256_DIGEST_SIZE];

	hmac_sha256_set_key(&hmac, sizeof(key->bytes), key->bytes);
	mix_text(&hmac, purpose);
	for (size_t i = 0; i < SIGNED_TEXTS_MAX && texts[i]; i++)
		mix_text(&hmac, texts[i]);
	hmac_sha256_digest(&hmac, sizeof(mac), mac);
	str_hex(mac, sizeof(mac), signature);
}

void keyring_sign(struct keyring *keyring, const char *purpose, const char *const *texts,
		  char signature[SIGNATURE_SIZE])
{
	struct key key;

	pthread_mutex_lock(&keyring->lock);
	key = keyring->current;
	pthread_mutex_unlock(&keyring->lock);
	sign(&key, purpose, texts, signature);
}

static bool signed_with(const struct key *key, const char *purpose, const char *const *texts,
			const char *signature)
{
	char right[SIGNATURE_SIZE];

	sign(key, purpose, texts, right);
	return memeql_sec(signature, right, SIGNATURE_SIZE - 1);
}

bool keyring_check(struct keyring *keyring, const char *purpose, const char *const *texts,
		   const char *signature)
{
	struct key current, before;
	bool overlaps;

	if (strlen(signature) != SIGNATURE_SIZE - 1)
		return false;
	pthread_mutex_lock(&keyring->lock);
	current = keyring->current;
	before = keyring->before;
	overlaps = keyring->before_until_ms && !deadline_passed(keyring->before_until_ms);
	pthread_mutex_unlock(&keyring->lock);
	return signed_with(&current, purpose, texts, signature) ||
	       (overlaps && signed_with(&before, purpose, texts, signature));
}
