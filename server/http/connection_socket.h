/*
 * Between the files that implement connection.h: what is done with the socket
 * alone (connection_socket.c) needs nothing else of the library beneath.
 */
#ifndef HTTP_CONNECTION_SOCKET_H
#define HTTP_CONNECTION_SOCKET_H

#include "server/http/connection.h"

/* Not to be closed; -1 once the connection was reset. */
int connection_socket(const struct connection *connection);

#endif
