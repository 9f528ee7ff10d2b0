/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <net/if.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "addon.h"

/*
 * libbpf 1.1 and the headers it came with know no tcx, so these two are ours. The kernel takes a longer one than its own
 * if the rest is zero, and fills a longer one as far as it knows.
 */
struct link_create {
	uint32_t prog_fd;
	uint32_t target; /* a descriptor of a cgroup or an ifindex */
	uint32_t attach_type;
	uint32_t flags;
	uint8_t zero[48];
};

struct link_facts {
	uint32_t type;
	uint32_t id;
	uint32_t prog_id;
	uint32_t zero;
	union {
		struct {
			uint64_t id;
			uint32_t attach_type;
		} cgroup;
		struct {
			uint32_t ifindex;     /* tcx, xdp */
			uint32_t attach_type; /* tcx */
		} device;
		uint8_t room[240];
	};
};

_Static_assert(sizeof(struct link_create) == 64, "link_create of bpf_attr ends before this in every kernel to come");
_Static_assert(offsetof(struct link_facts, cgroup) == offsetof(struct bpf_link_info, cgroup), "as the kernel's");
_Static_assert(offsetof(struct link_facts, device) == offsetof(struct bpf_link_info, xdp), "as the kernel's");
_Static_assert(sizeof(struct link_facts) >= sizeof(struct bpf_link_info), "room for what the kernel fills");

enum { LINK_CGROUP = 3, LINK_XDP = 6, LINK_TCX = 11 };

struct attach {
	struct task task;
	int program;
	int cgroup; /* -1: a device */
	uint32_t ifindex;
	uint32_t attach_type;
	uint32_t flags;
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

static const char *hook_name(uint32_t attach_type)
{
	return attach_type == 46 ? "tcx ingress" : attach_type == 47 ? "tcx egress" : "xdp";
}

/* In the worker: names are those of the namespace. */
static void name_device(struct attach *attach)
{
	char name[IF_NAMESIZE];

	if (!if_indextoname(attach->ifindex, name))
		snprintf(name, sizeof(name), "%u", attach->ifindex);
	snprintf(attach->object, sizeof(attach->object), "device %s %s", name, hook_name(attach->attach_type));
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
	snprintf(attach->object, sizeof(attach->object), "cgroup %.300s", path);
	attach->cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (attach->cgroup < 0)
		fail(env, errno, "link_attach", attach->object, NULL);
	return attach->cgroup >= 0;
}

napi_value link_attach(napi_env env, napi_callback_info info)
{
	struct attach *attach;
	napi_value values[5];
	int program;

	if (!get_arguments(env, info, 5, values))
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
	    !get_u32(env, values[4], "link_attach: flags", &attach->flags) || !open_cgroup(env, values[2], attach)) {
		task_drop(&attach->task);
		return NULL;
	}
	if (attach->cgroup < 0)
		task_in_netns(&attach->task);
	return task_submit(env, &attach->task, "link_attach");
}

napi_value link_open(napi_env env, napi_callback_info info)
{
	char path[PATH_SIZE], object[OBJECT_NAME];
	napi_value value;
	int fd;

	if (!get_arguments(env, info, 1, &value) || !get_text(env, value, "link_open: path", path, sizeof(path)))
		return NULL;
	fd = pin_open(env, path, HANDLE_LINK, "link_open");
	snprintf(object, sizeof(object), "link %.300s", path);
	return fd < 0 ? NULL : handle_make(env, HANDLE_LINK, fd, object, NULL);
}

napi_value link_info(napi_env env, napi_callback_info info)
{
	struct link_facts facts = {0};
	uint32_t size = sizeof(facts);
	napi_value value, result;
	struct handle *link;

	if (!get_arguments(env, info, 1, &value))
		return NULL;
	link = handle_get(env, value, HANDLE_LINK, "link_info");
	if (!link)
		return NULL;
	if (bpf_obj_get_info_by_fd(link->fd, &facts, &size))
		return fail(env, errno, "link_info", link->object, NULL);
	if (napi_create_object(env, &result) != napi_ok)
		return NULL;
	set_u32(env, result, "id", facts.id);
	set_u32(env, result, "type", facts.type);
	set_u32(env, result, "programId", facts.prog_id);
	set_u32(env, result, "ifindex", facts.type == LINK_TCX || facts.type == LINK_XDP ? facts.device.ifindex : 0);
	set_u32(env, result, "attachType",
		facts.type == LINK_TCX	    ? facts.device.attach_type
		: facts.type == LINK_CGROUP ? facts.cgroup.attach_type
					    : 0);
	set_u64(env, result, "cgroupId", facts.type == LINK_CGROUP ? facts.cgroup.id : 0);
	return result;
}

/* ---- update and detach: under rtnl for devices, so in the worker as well ---- */

struct change {
	struct task task;
	int link;
	int program; /* -1: detach */
	char object[OBJECT_NAME];
};

static void change_release(struct task *task)
{
	struct change *change = (struct change *)task;

	close(change->link);
	if (change->program >= 0)
		close(change->program);
}

static void update_run(struct task *task)
{
	struct change *change = (struct change *)task;

	if (bpf_link_update(change->link, change->program, NULL))
		failure_set(&task->failure, errno, "link_update", change->object, NULL);
}

static void detach_run(struct task *task)
{
	struct change *change = (struct change *)task;

	if (bpf_link_detach(change->link))
		failure_set(&task->failure, errno, "link_detach", change->object, NULL);
}

static napi_value change_submit(napi_env env, napi_value link, int program, void (*run)(struct task *),
				const char *call)
{
	struct handle *handle = handle_get(env, link, HANDLE_LINK, call);
	struct change *change;
	int fd;

	if (!handle)
		goto failed;
	fd = handle_duplicate(env, link, HANDLE_LINK, call);
	if (fd < 0)
		goto failed;
	change = task_make(env, sizeof(*change), run, change_release);
	if (!change) {
		close(fd);
		goto failed;
	}
	change->link = fd;
	change->program = program;
	snprintf(change->object, sizeof(change->object), "%s", handle->object);
	return task_submit(env, &change->task, call);
failed:
	if (program >= 0)
		close(program);
	return NULL;
}

napi_value link_update(napi_env env, napi_callback_info info)
{
	napi_value values[2];
	int program;

	if (!get_arguments(env, info, 2, values))
		return NULL;
	program = handle_duplicate(env, values[1], HANDLE_PROGRAM, "link_update");
	return program < 0 ? NULL : change_submit(env, values[0], program, update_run, "link_update");
}

napi_value link_detach(napi_env env, napi_callback_info info)
{
	napi_value value;

	if (!get_arguments(env, info, 1, &value))
		return NULL;
	return change_submit(env, value, -1, detach_run, "link_detach");
}
