/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>
#include "addon.h"

/* The headers that came with libbpf 1.1 know no tcx. The kernel fills a longer struct than its own as far as it knows. */
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

_Static_assert(offsetof(struct link_facts, cgroup) == offsetof(struct bpf_link_info, cgroup), "as the kernel's");
_Static_assert(offsetof(struct link_facts, device) == offsetof(struct bpf_link_info, xdp), "as the kernel's");
_Static_assert(sizeof(struct link_facts) >= sizeof(struct bpf_link_info), "room for what the kernel fills");

enum { LINK_CGROUP = 3, LINK_XDP = 6, LINK_TCX = 11 };

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
