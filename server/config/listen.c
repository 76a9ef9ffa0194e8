/*
 * Which addresses are safe to listen on when everybody may pull and push.
 */
#include "server/config/config.h"

#include "server/base/str.h"

#include <string.h>

bool config_address_is_loopback(const char *address)
{
	return str_starts_with(address, "127.") || str_starts_with(address, "[::1]:") ||
	       str_starts_with(address, "localhost:");
}

bool config_refuses_to_listen(const struct config *config, struct error *error)
{
	const char *key = NULL;
	const char *address = NULL;

	if (config->auth_none)
		return false;
	if (!config_address_is_loopback(config->http.admin_address)) {
		key = "http.adminAddress";
		address = config->http.admin_address;
	}
	if (!config_address_is_loopback(config->http.address)) {
		key = "http.address";
		address = config->http.address;
	}
	if (!key)
		return false;
	error_set(error, BW_DENIED,
		  "%s: \"%s\" can be reached from other machines, and nothing says who may pull "
		  "and push; write `auth: none` if everybody may, or listen on 127.0.0.1",
		  key, address);
	return true;
}
