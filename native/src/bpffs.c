/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include "addon.h"

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
