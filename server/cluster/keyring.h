/*
 * What replicas know each other by: the secret, and the one before it, and the
 * signatures made with them (HMAC-SHA256, RFC 2104).
 *
 * A signature covers a word for its purpose and a list of texts, each with its
 * length before it, so that none can pass for another. The key is a hash of the
 * secret, which is not kept. Thread-safe.
 */
#ifndef CLUSTER_KEYRING_H
#define CLUSTER_KEYRING_H

#include <stdbool.h>
#include <stdint.h>

struct keyring;

#define SIGNATURE_SIZE 65 /* 64 hex digits and NUL */
#define SIGNED_TEXTS_MAX 8

/* For this long signatures by the secret before are accepted: longer than all
 * replicas take to notice a new one. */
#define KEYRING_OVERLAP_MS 120000

struct keyring *keyring_new(const char *secret);
void keyring_free(struct keyring *keyring);

/* Signs with this one from now on. The same one again changes nothing. */
void keyring_replace(struct keyring *keyring, const char *secret);

/* `texts` is NULL-terminated, of at most SIGNED_TEXTS_MAX. */
void keyring_sign(struct keyring *keyring, const char *purpose, const char *const *texts,
		  char signature[SIGNATURE_SIZE]);
/* How long it takes does not tell how much of a forged one was right. */
bool keyring_check(struct keyring *keyring, const char *purpose, const char *const *texts,
		   const char *signature);

#define SIGNED_TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
