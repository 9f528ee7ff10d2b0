/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>
#include "addon.h"

#define NETNS_COOKIE 71 /* SO_NETNS_COOKIE, Linux 5.14 */

napi_value netns_cookie(napi_env env, napi_callback_info info)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie;
	socklen_t size = sizeof(cookie);
	napi_value value;
	int err = 0;

	(void)info;
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, NETNS_COOKIE, &cookie, &size))
		err = errno;
	if (fd >= 0)
		close(fd);
	if (err)
		return fail(env, err, "netns_cookie", "network namespace", NULL);
	return napi_create_bigint_uint64(env, cookie, &value) == napi_ok ? value : NULL;
}

napi_value set_netns(napi_env env, napi_callback_info info)
{
	char path[PATH_SIZE];
	napi_value value;
	int fd, err = 0;

	if (!get_arguments(env, info, 1, &value) || !get_text(env, value, "setNetns: path", path, sizeof(path)))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err = errno;
	if (fd >= 0)
		close(fd);
	return err ? fail(env, err, "setns", path, NULL) : NULL;
}

napi_value unshare_netns(napi_env env, napi_callback_info info)
{
	(void)info;
	if (unshare(CLONE_NEWNET))
		return fail(env, errno, "unshare", "network namespace", NULL);
	return NULL;
}
