/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>
#include "load.h"

static void release(struct task *task)
{
	struct load *load = (struct load *)task;
	uint32_t i;

	for (i = 0; i < load->map_count; i++)
		if (load->maps[i].reuse >= 0)
			close(load->maps[i].reuse);
	bpf_object__close(load->object);
	free(load->maps);
	free(load->programs);
	free(load->names);
	free(load->rodata);
	free(load->elf);
}

/* libbpf puts a piece of the object's name before '.rodata' and its like; people know them without. */
static const char *plain_name(const struct bpf_map *map)
{
	const char *name = bpf_map__name(map), *dot = strchr(name, '.');

	return bpf_map__is_internal(map) && dot ? dot : name;
}

static int note_names(struct load *load)
{
	struct bpf_map *map;
	uint32_t i = 0;

	bpf_object__for_each_map(map, load->object) load->name_count++;
	load->names = calloc(load->name_count + 1, sizeof(*load->names));
	if (!load->names)
		return -1;
	bpf_object__for_each_map(map, load->object)
	    snprintf(load->names[i++], sizeof(*load->names), "%s", plain_name(map));
	return 0;
}

static struct bpf_map *find_map(const struct load *load, const char *name)
{
	struct bpf_map *map;
	uint32_t i = 0;

	bpf_object__for_each_map(map, load->object) if (strcmp(load->names[i++], name) == 0) return map;
	return NULL;
}

static int refuse(struct load *load, int err, const char *kind, const char *name, const char *detail)
{
	char object[OBJECT_NAME];

	snprintf(object, sizeof(object), "%s %s of %s", kind, name, load->name);
	failure_set(&load->task.failure, err, "object_load", object, detail ? "%s" : NULL, detail);
	return -1;
}

/* libbpf takes any map here and leaves it to the verifier to say something about offsets. */
static int reuse(struct load *load, struct bpf_map *map, const struct map_option *option)
{
	struct bpf_map_info facts = {0};
	uint32_t size = sizeof(facts);
	char detail[256];
	int err;

	if (bpf_obj_get_info_by_fd(option->reuse, &facts, &size))
		return refuse(load, errno, "map", option->name, NULL);
	if (facts.type != bpf_map__type(map) || facts.key_size != bpf_map__key_size(map) ||
	    facts.value_size != bpf_map__value_size(map) || facts.map_flags != bpf_map__map_flags(map)) {
		snprintf(
		    detail, sizeof(detail),
		    "cannot be reused: type, key size, value size, flags are %u, %u, %u, %#x, must be %u, %u, %u, %#x",
		    facts.type, facts.key_size, facts.value_size, facts.map_flags, bpf_map__type(map),
		    bpf_map__key_size(map), bpf_map__value_size(map), bpf_map__map_flags(map));
		return refuse(load, EINVAL, "map", option->name, detail);
	}
	err = bpf_map__reuse_fd(map, option->reuse);
	return err ? refuse(load, err, "map", option->name, NULL) : 0;
}

static int set_maps(struct load *load)
{
	uint32_t i;

	for (i = 0; i < load->map_count; i++) {
		const struct map_option *option = &load->maps[i];
		struct bpf_map *map = find_map(load, option->name);

		if (!map)
			return refuse(load, ENOENT, "map", option->name, "the object has no such map");
		if (option->reuse >= 0) {
			if (reuse(load, map, option))
				return -1;
		} else if (bpf_map__set_max_entries(map, option->max_entries)) {
			return refuse(load, errno, "map", option->name, "its number of entries cannot be set");
		}
	}
	return 0;
}

static int set_rodata(struct load *load)
{
	struct bpf_map *map = find_map(load, ".rodata");
	char detail[128];

	if (!load->rodata)
		return 0;
	if (!map)
		return refuse(load, ENOENT, "map", ".rodata", "the object has no such map");
	if (bpf_map__value_size(map) != load->rodata_size) {
		snprintf(detail, sizeof(detail), "must have %u bytes, got %zu", bpf_map__value_size(map),
			 load->rodata_size);
		return refuse(load, EINVAL, "map", ".rodata", detail);
	}
	if (bpf_map__set_initial_value(map, load->rodata, load->rodata_size))
		return refuse(load, errno, "map", ".rodata", NULL);
	return 0;
}

static int choose_programs(struct load *load)
{
	struct bpf_program *program;
	uint32_t i;

	if (load->all_programs)
		return 0;
	bpf_object__for_each_program(program, load->object) bpf_program__set_autoload(program, false);
	for (i = 0; i < load->program_count; i++) {
		program = bpf_object__find_program_by_name(load->object, load->programs[i]);
		if (!program)
			return refuse(load, ENOENT, "program", load->programs[i], "the object has no such program");
		bpf_program__set_autoload(program, true);
	}
	return 0;
}

static void open_and_load(struct load *load)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = load->name);
	char object[OBJECT_NAME];

	snprintf(object, sizeof(object), "object %s", load->name);
	load->object = bpf_object__open_mem(load->elf, load->elf_size, &options);
	if (!load->object) {
		failure_set(&load->task.failure, errno, "object_open", object, NULL);
		return;
	}
	if (note_names(load)) {
		failure_set(&load->task.failure, ENOMEM, "object_load", object, NULL);
		return;
	}
	if (set_maps(load) || set_rodata(load) || choose_programs(load))
		return;
	if (bpf_object__load(load->object))
		failure_set(&load->task.failure, errno, "object_load", object, NULL);
}

static void run(struct task *task)
{
	log_start(&task->failure.log);
	open_and_load((struct load *)task);
	log_stop();
}

/* The libbpf object, with its copy of the ELF and its BTF, goes as soon as this is done: handles are duplicates. */
static napi_value result(napi_env env, struct task *task)
{
	struct load *load = (struct load *)task;
	struct bpf_program *program;
	struct bpf_map *map;
	napi_value object, maps, programs;
	uint32_t i = 0;

	if (napi_create_object(env, &object) != napi_ok || napi_create_object(env, &maps) != napi_ok ||
	    napi_create_object(env, &programs) != napi_ok)
		return NULL;
	bpf_object__for_each_map(map, load->object)
	{
		const char *name = load->names[i++];
		napi_value handle = map_make(env, duplicate(bpf_map__fd(map)), name);

		if (!handle)
			return NULL;
		set(env, maps, name, handle);
	}
	bpf_object__for_each_program(program, load->object)
	{
		const char *name = bpf_program__name(program);
		napi_value handle;

		if (bpf_program__fd(program) < 0)
			continue;
		handle = program_make(env, duplicate(bpf_program__fd(program)), name);
		if (!handle)
			return NULL;
		set(env, programs, name, handle);
	}
	set(env, object, "maps", maps);
	set(env, object, "programs", programs);
	return object;
}

napi_value object_load(napi_env env, napi_callback_info info)
{
	napi_value values[5];
	struct load *load;

	if (!get_arguments(env, info, 5, values))
		return NULL;
	load = task_make(env, sizeof(*load), run, release);
	if (!load)
		return NULL;
	load->task.result = result;
	if (load_get_options(env, values, load))
		return task_submit(env, &load->task, "object_load");
	task_drop(&load->task);
	return NULL;
}
