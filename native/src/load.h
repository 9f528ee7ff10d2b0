/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What is asked of a load: read from JavaScript by load_options.c, done by object.c. */
#include "addon.h"

#define MAP_NAME 256

struct map_option {
	char name[MAP_NAME];
	int reuse; /* -1: none */
	uint32_t max_entries;
};

struct load {
	struct task task;
	char name[MAP_NAME];
	void *elf;
	size_t elf_size;
	struct map_option *maps;
	uint32_t map_count;
	void *rodata;
	size_t rodata_size;
	char (*programs)[MAP_NAME];
	uint32_t program_count;
	bool all_programs;
	struct bpf_object *object;
	char (*names)[MAP_NAME]; /* of the object's maps: libbpf gives one that is reused the name it was made with */
	uint32_t name_count;
};

/* values: elf, name, maps, rodata, programs. false: an exception is pending, and what was taken is in `load`. */
bool load_get_options(napi_env env, napi_value *values, struct load *load);
