/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>
#include "addon.h"

/*
 * The kernel promises that a write to a map of maps returns only when no program can still see what was there before:
 * an RCU grace period, for every program and every map. Nothing else that user space can ask for says so.
 */
static void run(struct task *task)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);
	uint32_t key = 0;
	int inner, outer = -1;

	inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "rcu_inner", 4, 4, 1, NULL);
	if (inner >= 0) {
		options.inner_map_fd = inner;
		outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "rcu", 4, 4, 1, &options);
	}
	if (outer < 0 || bpf_map_update_elem(outer, &key, &inner, BPF_ANY))
		failure_set(&task->failure, errno, "synchronize_rcu", "array of maps", NULL);
	if (outer >= 0)
		close(outer);
	if (inner >= 0)
		close(inner);
}

napi_value synchronize_rcu(napi_env env, napi_callback_info info)
{
	struct task *task = task_make(env, sizeof(*task), run, NULL);

	(void)info;
	return task ? task_submit(env, task, "synchronize_rcu") : NULL;
}
