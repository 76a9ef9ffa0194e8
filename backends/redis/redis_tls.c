#include "backends/redis/redis_tls.h"

#include "server/base/memory.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>

struct redis_tls {
	SSL_CTX *context;
	char *server_name;
};

struct redis_tls_session {
	SSL *ssl;
};

static enum status tls_failed(enum status code, const char *what, struct error *error)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	error_set(error, code, "TLS to Redis: %s: %s", what, reason ? reason : "unknown");
	ERR_clear_error();
	return code;
}

enum status redis_tls_new(const char *ca_file, const char *server_name, struct redis_tls **ret,
			  struct error *error)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	bool trusted;

	if (!context)
		return tls_failed(BW_INTERNAL, "no context", error);
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(context,
			 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	trusted = ca_file && *ca_file ? SSL_CTX_load_verify_locations(context, ca_file, NULL) == 1
				      : SSL_CTX_set_default_verify_paths(context) == 1;
	if (!trusted) {
		SSL_CTX_free(context);
		return tls_failed(BW_INVALID, ca_file && *ca_file ? ca_file : "system certificates",
				  error);
	}
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->context = context;
	(*ret)->server_name = xstrdup(server_name);
	return BW_OK;
}

void redis_tls_free(struct redis_tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	free(tls->server_name);
	free(tls);
}

/* The certificate must be of that name, which may be an address. */
static bool expect_name(SSL *ssl, const char *name)
{
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1)
		return true;
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* What to wait for, or 0: it has failed. */
static short wanted(SSL *ssl, int result)
{
	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return POLLIN;
	case SSL_ERROR_WANT_WRITE:
		return POLLOUT;
	default:
		return 0;
	}
}

static enum status shake_hands(SSL *ssl, int fd, deadline_ms deadline, struct error *error)
{
	for (;;) {
		int result;
		struct pollfd pollfd = {.fd = fd};

		ERR_clear_error();
		result = SSL_connect(ssl);
		if (result == 1)
			return BW_OK;
		pollfd.events = wanted(ssl, result);
		if (!pollfd.events)
			return tls_failed(BW_UNREACHABLE, "handshake", error);
		if (deadline_passed(deadline))
			return error_set(error, BW_TIMEOUT, "TLS to Redis: no handshake in time");
		poll(&pollfd, 1, (int)deadline_left_ms(deadline));
	}
}

enum status redis_tls_begin(struct redis_tls *tls, int fd, deadline_ms deadline,
			    struct redis_tls_session **ret, struct error *error)
{
	SSL *ssl = SSL_new(tls->context);
	enum status status;

	if (!ssl || SSL_set_fd(ssl, fd) != 1 || !expect_name(ssl, tls->server_name)) {
		SSL_free(ssl);
		return tls_failed(BW_INTERNAL, "no session", error);
	}
	status = shake_hands(ssl, fd, deadline, error);
	if (status) {
		SSL_free(ssl);
		return status;
	}
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->ssl = ssl;
	return BW_OK;
}

void redis_tls_end(struct redis_tls_session *session)
{
	if (!session)
		return;
	SSL_free(session->ssl);
	ERR_clear_error();
	free(session);
}

static ssize_t outcome(SSL *ssl, int result, short *ret_wants)
{
	if (result > 0)
		return result;
	if (SSL_get_error(ssl, result) == SSL_ERROR_ZERO_RETURN)
		return 0;
	*ret_wants = wanted(ssl, result);
	errno = *ret_wants ? EAGAIN : ECONNRESET;
	return -1;
}

ssize_t redis_tls_read(struct redis_tls_session *session, void *target, size_t length,
		       short *ret_wants)
{
	ERR_clear_error();
	return outcome(session->ssl, SSL_read(session->ssl, target, (int)length), ret_wants);
}

ssize_t redis_tls_write(struct redis_tls_session *session, const void *bytes, size_t length,
			short *ret_wants)
{
	int at_most = length > 1 << 20 ? 1 << 20 : (int)length;

	ERR_clear_error();
	return outcome(session->ssl, SSL_write(session->ssl, bytes, at_most), ret_wants);
}
