/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <net/if.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "addon.h"

/*
 * libbpf 1.1 refuses tcx, which it does not know, so this is the plain call. The kernel takes a longer struct than its own
 * if the rest is zero.
 */
struct link_create {
	uint32_t prog_fd;
	uint32_t target; /* a descriptor of a cgroup or an ifindex */
	uint32_t attach_type;
	uint32_t flags;
	uint8_t zero[48];
};

_Static_assert(sizeof(struct link_create) == 64, "link_create of bpf_attr ends before this in every kernel to come");

struct attach {
	struct task task;
	int program;
	int cgroup; /* -1: a device */
	uint32_t ifindex;
	uint32_t attach_type;
	uint32_t flags;
	char hook[64]; /* for errors: "tcx ingress" */
	char object[OBJECT_NAME];
	int fd;
};

static void attach_release(struct task *task)
{
	struct attach *attach = (struct attach *)task;

	close(attach->program);
	if (attach->cgroup >= 0)
		close(attach->cgroup);
	if (attach->fd >= 0)
		close(attach->fd);
}

/* In the worker: names are those of the namespace. */
static void name_device(struct attach *attach)
{
	char name[IF_NAMESIZE];

	if (!if_indextoname(attach->ifindex, name))
		snprintf(name, sizeof(name), "%u", attach->ifindex);
	snprintf(attach->object, sizeof(attach->object), "device %s %s", name, attach->hook);
}

static void attach_run(struct task *task)
{
	struct attach *attach = (struct attach *)task;
	struct link_create create = {
	    .prog_fd = attach->program,
	    .target = attach->cgroup >= 0 ? (uint32_t)attach->cgroup : attach->ifindex,
	    .attach_type = attach->attach_type,
	    .flags = attach->flags,
	};

	if (attach->cgroup < 0)
		name_device(attach);
	attach->fd = syscall(__NR_bpf, BPF_LINK_CREATE, &create, sizeof(create));
	if (attach->fd < 0)
		failure_set(&task->failure, errno, "link_attach", attach->object, NULL);
}

static napi_value attach_result(napi_env env, struct task *task)
{
	struct attach *attach = (struct attach *)task;
	char object[OBJECT_NAME + 8];
	int fd = attach->fd;

	attach->fd = -1;
	snprintf(object, sizeof(object), "link %s", attach->object);
	return handle_make(env, HANDLE_LINK, fd, object, NULL);
}

static bool open_cgroup(napi_env env, napi_value value, struct attach *attach)
{
	char path[PATH_SIZE];

	if (is_undefined(env, value))
		return true;
	if (!get_text(env, value, "link_attach: path", path, sizeof(path)))
		return false;
	snprintf(attach->object, sizeof(attach->object), "cgroup %.240s %s", path, attach->hook);
	attach->cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (attach->cgroup < 0)
		fail(env, errno, "link_attach", attach->object, NULL);
	return attach->cgroup >= 0;
}

napi_value link_attach(napi_env env, napi_callback_info info)
{
	struct attach *attach;
	napi_value values[6];
	int program;

	if (!get_arguments(env, info, 6, values))
		return NULL;
	program = handle_duplicate(env, values[0], HANDLE_PROGRAM, "link_attach");
	if (program < 0)
		return NULL;
	attach = task_make(env, sizeof(*attach), attach_run, attach_release);
	if (!attach) {
		close(program);
		return NULL;
	}
	attach->task.result = attach_result;
	attach->program = program;
	attach->cgroup = attach->fd = -1;
	if (!get_u32(env, values[1], "link_attach: ifindex", &attach->ifindex) ||
	    !get_u32(env, values[3], "link_attach: attach type", &attach->attach_type) ||
	    !get_u32(env, values[4], "link_attach: flags", &attach->flags) ||
	    !get_text(env, values[5], "link_attach: hook", attach->hook, sizeof(attach->hook)) ||
	    !open_cgroup(env, values[2], attach)) {
		task_drop(&attach->task);
		return NULL;
	}
	if (attach->cgroup < 0)
		task_in_netns(&attach->task);
	return task_submit(env, &attach->task, "link_attach");
}
