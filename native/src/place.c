/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "addon.h"

/* Where a process stands: its network namespace, its bpffs, a lock on a path. */

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

napi_value is_bpffs(napi_env env, napi_callback_info info)
{
	char path[PATH_SIZE];
	struct statfs facts;
	napi_value value;

	if (!get_arguments(env, info, 1, &value) || !get_text(env, value, "isBpfFs: path", path, sizeof(path)))
		return NULL;
	return make_bool(env, statfs(path, &facts) == 0 && facts.f_type == BPF_FS_MAGIC);
}

napi_value bpffs_mount(napi_env env, napi_callback_info info)
{
	char path[PATH_SIZE];
	napi_value value;

	if (!get_arguments(env, info, 1, &value) || !get_text(env, value, "bpfFsMount: path", path, sizeof(path)))
		return NULL;
	if (mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return fail(env, errno, "mount", path, NULL);
	return NULL;
}

napi_value lock_path(napi_env env, napi_callback_info info)
{
	char path[PATH_SIZE];
	napi_value value;
	int fd, err;

	if (!get_arguments(env, info, 1, &value) || !get_text(env, value, "lockPath: path", path, sizeof(path)))
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(env, errno, "lock", path, NULL);
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return handle_make(env, HANDLE_LOCK, fd, path, NULL);
	err = errno;
	close(fd);
	return err == EWOULDBLOCK ? undefined(env) : fail(env, err, "lock", path, NULL);
}
