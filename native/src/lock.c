/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include "addon.h"

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
