/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include "addon.h"

struct attempt {
	int family;
	uint32_t type;
	uint32_t protocol;
	uint32_t mark;
	struct sockaddr_storage peer;
	socklen_t peer_size;
};

static bool get_peer(napi_env env, napi_value address, napi_value port, struct attempt *attempt)
{
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&attempt->peer;
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)&attempt->peer;
	void *bytes = attempt->family == AF_INET6 ? (void *)&ipv6->sin6_addr : (void *)&ipv4->sin_addr;
	char text[INET6_ADDRSTRLEN];
	uint32_t number;

	if (!get_text(env, address, "tryConnect: address", text, sizeof(text)) ||
	    !get_u32(env, port, "tryConnect: port", &number))
		return false;
	attempt->peer.ss_family = attempt->family;
	attempt->peer_size = attempt->family == AF_INET6 ? sizeof(*ipv6) : sizeof(*ipv4);
	ipv4->sin_port = htons(number); /* both have it at one place */
	if (inet_pton(attempt->family, text, bytes) == 1)
		return true;
	fail(env, EINVAL, "connect", text, "not an address of this family");
	return false;
}

/* A descriptor, or -1 and errno. */
static int open_socket(const struct attempt *attempt)
{
	int fd = socket(attempt->family, attempt->type | SOCK_NONBLOCK | SOCK_CLOEXEC, attempt->protocol);
	int err;

	if (fd < 0 || !attempt->mark || !setsockopt(fd, SOL_SOCKET, SO_MARK, &attempt->mark, sizeof(attempt->mark)))
		return fd;
	err = errno;
	close(fd);
	errno = err;
	return -1;
}

/* family, type, protocol, mark, address, port */
napi_value try_connect(napi_env env, napi_callback_info info)
{
	struct attempt attempt = {0};
	napi_value values[6];
	uint32_t family;
	int fd, err;

	if (!get_arguments(env, info, 6, values) || !get_u32(env, values[0], "tryConnect: family", &family) ||
	    !get_u32(env, values[1], "tryConnect: type", &attempt.type) ||
	    !get_u32(env, values[2], "tryConnect: protocol", &attempt.protocol) ||
	    !get_u32(env, values[3], "tryConnect: mark", &attempt.mark))
		return NULL;
	attempt.family = family == 6 ? AF_INET6 : AF_INET;
	if (!get_peer(env, values[4], values[5], &attempt))
		return NULL;
	fd = open_socket(&attempt);
	if (fd < 0)
		return fail(env, errno, "socket", "socket", NULL);
	err = connect(fd, (struct sockaddr *)&attempt.peer, attempt.peer_size) ? errno : 0;
	close(fd);
	return make_u32(env, err);
}
