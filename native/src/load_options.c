/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

static bool copy_bytes(napi_env env, napi_value value, const char *what, void **copy, size_t *size)
{
	struct bytes bytes;

	if (!get_bytes(env, value, what, &bytes))
		return false;
	*copy = malloc(bytes.length ? bytes.length : 1);
	if (!*copy) {
		fail(env, ENOMEM, "object_load", what, NULL);
		return false;
	}
	if (bytes.length)
		memcpy(*copy, bytes.data, bytes.length);
	*size = bytes.length;
	return true;
}

/* Zeroed elements for a JavaScript array. */
static bool make_list(napi_env env, napi_value value, const char *what, size_t size, void **list, uint32_t *count)
{
	bool is_array;

	if (napi_is_array(env, value, &is_array) != napi_ok || !is_array ||
	    napi_get_array_length(env, value, count) != napi_ok) {
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", what);
		return false;
	}
	*list = calloc(*count ? *count : 1, size);
	if (!*list)
		fail(env, ENOMEM, "object_load", "options", NULL);
	return *list;
}

static bool get_map_option(napi_env env, napi_value value, struct map_option *option)
{
	napi_value name, reuse, max_entries;

	if (napi_get_named_property(env, value, "name", &name) != napi_ok ||
	    napi_get_named_property(env, value, "reuse", &reuse) != napi_ok ||
	    napi_get_named_property(env, value, "maxEntries", &max_entries) != napi_ok ||
	    !get_text(env, name, "object_load: a map's name", option->name, sizeof(option->name)) ||
	    !get_u32(env, max_entries, "object_load: maxEntries", &option->max_entries))
		return false;
	if (is_undefined(env, reuse))
		return true;
	option->reuse = handle_duplicate(env, reuse, HANDLE_MAP, "object_load");
	return option->reuse >= 0;
}

static bool get_maps(napi_env env, napi_value value, struct load *load)
{
	uint32_t i, count;
	napi_value element;

	if (!make_list(env, value, "maps must be an array", sizeof(*load->maps), (void **)&load->maps, &count))
		return false;
	for (i = 0; i < count; i++)
		load->maps[i].reuse = -1;
	load->map_count = count;
	for (i = 0; i < count; i++)
		if (napi_get_element(env, value, i, &element) != napi_ok ||
		    !get_map_option(env, element, &load->maps[i]))
			return false;
	return true;
}

static bool get_programs(napi_env env, napi_value value, struct load *load)
{
	napi_value element;
	uint32_t i;

	load->all_programs = is_undefined(env, value);
	if (load->all_programs)
		return true;
	if (!make_list(env, value, "programs must be an array", sizeof(*load->programs), (void **)&load->programs,
		       &load->program_count))
		return false;
	for (i = 0; i < load->program_count; i++)
		if (napi_get_element(env, value, i, &element) != napi_ok ||
		    !get_text(env, element, "object_load: a program's name", load->programs[i], MAP_NAME))
			return false;
	return true;
}

bool load_get_options(napi_env env, napi_value *values, struct load *load)
{
	return copy_bytes(env, values[0], "elf", &load->elf, &load->elf_size) &&
	       get_text(env, values[1], "object_load: name", load->name, sizeof(load->name)) &&
	       get_maps(env, values[2], load) &&
	       (is_undefined(env, values[3]) ||
		copy_bytes(env, values[3], "rodata", &load->rodata, &load->rodata_size)) &&
	       get_programs(env, values[4], load);
}
