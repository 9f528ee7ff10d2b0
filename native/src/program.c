/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>
#include "addon.h"

#define VERIFIER_LOG (1 << 20)

napi_value program_make(napi_env env, int fd, const char *name)
{
	struct bpf_prog_info facts = {0};
	uint32_t size = sizeof(facts);
	char object[OBJECT_NAME];

	if (bpf_obj_get_info_by_fd(fd, &facts, &size)) {
		fail(env, errno, "program_info", name ? name : "program", NULL);
		close(fd);
		return NULL;
	}
	snprintf(object, sizeof(object), "program %s", name ? name : facts.name);
	return handle_make(env, HANDLE_PROGRAM, fd, object, NULL);
}

napi_value program_open(napi_env env, napi_callback_info info)
{
	char path[PATH_SIZE];
	napi_value value;
	int fd;

	if (!get_arguments(env, info, 1, &value) || !get_text(env, value, "program_open: path", path, sizeof(path)))
		return NULL;
	fd = pin_open(env, path, HANDLE_PROGRAM, "program_open");
	return fd < 0 ? NULL : program_make(env, fd, NULL);
}

static void set_tag(napi_env env, napi_value object, const uint8_t *tag)
{
	char hex[2 * BPF_TAG_SIZE + 1];
	int i;

	for (i = 0; i < BPF_TAG_SIZE; i++)
		sprintf(hex + 2 * i, "%02x", tag[i]);
	set_text(env, object, "tag", hex);
}

static void set_map_ids(napi_env env, napi_value object, const uint32_t *ids, uint32_t count)
{
	napi_value list, id;
	uint32_t i;

	if (napi_create_array_with_length(env, count, &list) != napi_ok)
		return;
	for (i = 0; i < count; i++) {
		id = make_u32(env, ids[i]);
		if (id)
			napi_set_element(env, list, i, id);
	}
	set(env, object, "mapIds", list);
}

napi_value program_info(napi_env env, napi_callback_info info)
{
	struct bpf_prog_info facts = {0};
	uint32_t size = sizeof(facts), ids[64]; /* the kernel allows a program 64 maps */
	struct handle *program;
	napi_value value, result;

	if (!get_arguments(env, info, 1, &value))
		return NULL;
	program = handle_get(env, value, HANDLE_PROGRAM, "program_info");
	if (!program)
		return NULL;
	facts.nr_map_ids = sizeof(ids) / sizeof(ids[0]);
	facts.map_ids = (uintptr_t)ids;
	if (bpf_obj_get_info_by_fd(program->fd, &facts, &size))
		return fail(env, errno, "program_info", program->object, NULL);
	if (napi_create_object(env, &result) != napi_ok)
		return NULL;
	set_u32(env, result, "id", facts.id);
	set_u32(env, result, "type", facts.type);
	set_text(env, result, "name", facts.name);
	set_tag(env, result, facts.tag);
	set_u64(env, result, "loadedAt", facts.load_time);
	set_map_ids(env, result, ids, facts.nr_map_ids < 64 ? facts.nr_map_ids : 64);
	set_u32(env, result, "verifiedInstructions", facts.verified_insns);
	set_u32(env, result, "translatedBytes", facts.xlated_prog_len);
	return result;
}

napi_value program_load(napi_env env, napi_callback_info info)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options);
	struct failure failure = {0};
	struct bytes instructions;
	uint32_t type, attach_type;
	napi_value values[3];
	char *log;
	int fd;

	if (!get_arguments(env, info, 3, values) || !get_u32(env, values[0], "program_load: type", &type) ||
	    !get_u32(env, values[1], "program_load: attach type", &attach_type) ||
	    !get_bytes(env, values[2], "program_load: instructions", &instructions))
		return NULL;
	if (instructions.length == 0 || instructions.length % sizeof(struct bpf_insn))
		return fail(env, EINVAL, "program_load", "instructions", "must be a multiple of 8 bytes, got %zu",
			    instructions.length);
	log = malloc(VERIFIER_LOG);
	if (!log)
		return fail(env, ENOMEM, "program_load", "instructions", NULL);
	log[0] = '\0';
	options.expected_attach_type = attach_type;
	options.log_buf = log; /* libbpf fills it only if the first, silent load is refused */
	options.log_size = VERIFIER_LOG;
	fd = bpf_prog_load(type, "instructions", "GPL", (const struct bpf_insn *)instructions.data,
			   instructions.length / sizeof(struct bpf_insn), &options);
	if (fd < 0) {
		failure_set(&failure, errno, "program_load", "instructions", NULL);
		failure.log.data = log;
		failure.log.length = strlen(log);
		failure_throw(env, &failure);
	}
	free(log);
	return fd < 0 ? NULL : program_make(env, fd, "instructions");
}

static bool get_optional(napi_env env, napi_value value, const char *what, struct bytes *bytes)
{
	memset(bytes, 0, sizeof(*bytes));
	return is_undefined(env, value) || get_bytes(env, value, what, bytes);
}

static napi_value run_result(napi_env env, const struct bpf_test_run_opts *run)
{
	napi_value result;

	if (napi_create_object(env, &result) != napi_ok)
		return NULL;
	set_u32(env, result, "retval", run->retval);
	set(env, result, "data", make_bytes(env, run->data_out, run->data_size_out));
	set(env, result, "context", make_bytes(env, run->ctx_out, run->ctx_size_out));
	set_u32(env, result, "nanoseconds", run->duration);
	return result;
}

napi_value program_run(napi_env env, napi_callback_info info)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	napi_value values[5], result = NULL;
	struct bytes data, context;
	struct handle *program;
	uint32_t room, repeat;
	void *data_out, *context_out;

	if (!get_arguments(env, info, 5, values))
		return NULL;
	program = handle_get(env, values[0], HANDLE_PROGRAM, "program_run");
	if (!program || !get_optional(env, values[1], "data", &data) ||
	    !get_u32(env, values[2], "dataOutSize", &room) || !get_optional(env, values[3], "context", &context) ||
	    !get_u32(env, values[4], "repeat", &repeat))
		return NULL;
	data_out = malloc(room ? room : 1);
	context_out = malloc(context.length ? context.length : 1);
	if (!data_out || !context_out) {
		fail(env, ENOMEM, "program_run", program->object, NULL);
		goto out;
	}
	run.data_in = data.length ? data.data : NULL;
	run.data_size_in = data.length;
	run.data_out = room ? data_out : NULL;
	run.data_size_out = room;
	run.ctx_in = context.length ? context.data : NULL;
	run.ctx_size_in = context.length;
	run.ctx_out = context.length ? context_out : NULL;
	run.ctx_size_out = context.length;
	run.repeat = repeat;
	if (!bpf_prog_test_run_opts(program->fd, &run))
		result = run_result(env, &run);
	else if (errno == ENOSPC)
		fail(env, ENOSPC, "program_run", program->object, "the packet came out with %u bytes, room is for %u",
		     run.data_size_out, room);
	else
		fail(env, errno, "program_run", program->object, NULL);
out:
	free(data_out);
	free(context_out);
	return result;
}
