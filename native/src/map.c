/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>
#include "addon.h"

#define ROUND8(size) (((size) + 7u) & ~7u)

static uint32_t lookup_size(uint32_t type, uint32_t value_size)
{
	switch (type) {
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
	case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
		return ROUND8(value_size) * libbpf_num_possible_cpus();
	default:
		return value_size;
	}
}

napi_value map_make(napi_env env, int fd, const char *name)
{
	struct bpf_map_info facts = {0};
	uint32_t size = sizeof(facts);
	char object[OBJECT_NAME];
	struct handle *map;
	napi_value value;

	if (bpf_obj_get_info_by_fd(fd, &facts, &size)) {
		fail(env, errno, "map_info", name ? name : "map", NULL);
		close(fd);
		return NULL;
	}
	snprintf(object, sizeof(object), "map %s", name ? name : facts.name);
	value = handle_make(env, HANDLE_MAP, fd, object, &map);
	if (!value)
		return NULL;
	map->map_type = facts.type;
	map->key_size = facts.key_size;
	map->value_size = lookup_size(facts.type, facts.value_size);
	return value;
}

static int inner_fd(napi_env env, napi_value value, int *fd)
{
	struct handle *inner;

	*fd = 0;
	if (is_undefined(env, value))
		return 0;
	inner = handle_get(env, value, HANDLE_MAP, "map_create: inner map");
	if (!inner)
		return -1;
	*fd = inner->fd;
	return 0;
}

napi_value map_create(napi_env env, napi_callback_info info)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);
	uint32_t type, key_size, value_size, max_entries, flags;
	char name[256], object[OBJECT_NAME];
	napi_value values[7];
	int fd, inner;

	if (!get_arguments(env, info, 7, values) || !get_u32(env, values[0], "map_create: type", &type) ||
	    !get_text(env, values[1], "map_create: name", name, sizeof(name)) ||
	    !get_u32(env, values[2], "map_create: keySize", &key_size) ||
	    !get_u32(env, values[3], "map_create: valueSize", &value_size) ||
	    !get_u32(env, values[4], "map_create: maxEntries", &max_entries) ||
	    !get_u32(env, values[5], "map_create: flags", &flags) || inner_fd(env, values[6], &inner))
		return NULL;
	options.map_flags = flags;
	options.inner_map_fd = inner;
	snprintf(object, sizeof(object), "map %s", name);
	/* As libbpf does for the maps of an object: a long name is cut, not refused. */
	name[BPF_OBJ_NAME_LEN - 1] = '\0';
	fd = bpf_map_create(type, name, key_size, value_size, max_entries, &options);
	if (fd < 0)
		return fail(env, fd, "map_create", object, NULL);
	return map_make(env, fd, object + strlen("map "));
}

napi_value map_open(napi_env env, napi_callback_info info)
{
	char path[PATH_SIZE];
	napi_value value;
	int fd;

	if (!get_arguments(env, info, 1, &value) || !get_text(env, value, "map_open: path", path, sizeof(path)))
		return NULL;
	fd = pin_open(env, path, HANDLE_MAP, "map_open");
	return fd < 0 ? NULL : map_make(env, fd, NULL);
}

napi_value map_info(napi_env env, napi_callback_info info)
{
	struct bpf_map_info facts = {0};
	uint32_t size = sizeof(facts);
	napi_value value, result;
	struct handle *map;

	if (!get_arguments(env, info, 1, &value))
		return NULL;
	map = handle_get(env, value, HANDLE_MAP, "map_info");
	if (!map)
		return NULL;
	if (bpf_obj_get_info_by_fd(map->fd, &facts, &size))
		return fail(env, errno, "map_info", map->object, NULL);
	if (napi_create_object(env, &result) != napi_ok)
		return NULL;
	set_u32(env, result, "id", facts.id);
	set_u32(env, result, "type", facts.type);
	set_text(env, result, "name", facts.name);
	set_u32(env, result, "keySize", facts.key_size);
	set_u32(env, result, "valueSize", facts.value_size);
	set_u32(env, result, "maxEntries", facts.max_entries);
	set_u32(env, result, "flags", facts.map_flags);
	set_u32(env, result, "lookupSize", map->value_size);
	return result;
}

bool map_check(napi_env env, const struct handle *map, const char *call, const char *what, size_t size, size_t want)
{
	if (size == want)
		return true;
	fail(env, EINVAL, call, map->object, "%s must have %zu bytes, got %zu", what, want, size);
	return false;
}

bool map_get_key(napi_env env, const struct handle *map, const char *call, napi_value value, struct bytes *key)
{
	return get_bytes(env, value, "key", key) && map_check(env, map, call, "the key", key->length, map->key_size);
}

napi_value map_lookup(napi_env env, napi_callback_info info)
{
	uint8_t small[1024], *found = small;
	napi_value values[2], result = NULL;
	struct handle *map;
	struct bytes key;

	if (!get_arguments(env, info, 2, values))
		return NULL;
	map = handle_get(env, values[0], HANDLE_MAP, "map_lookup");
	if (!map || !map_get_key(env, map, "map_lookup", values[1], &key))
		return NULL;
	if (map->value_size > sizeof(small))
		found = malloc(map->value_size);
	if (!found)
		return fail(env, ENOMEM, "map_lookup", map->object, NULL);
	if (!bpf_map_lookup_elem(map->fd, key.data, found))
		result = make_bytes(env, found, map->value_size);
	else if (errno == ENOENT)
		result = undefined(env);
	else
		fail(env, errno, "map_lookup", map->object, NULL);
	if (found != small)
		free(found);
	return result;
}

napi_value map_update(napi_env env, napi_callback_info info)
{
	struct bytes key, value;
	napi_value values[4];
	struct handle *map;
	uint32_t flags;

	if (!get_arguments(env, info, 4, values))
		return NULL;
	map = handle_get(env, values[0], HANDLE_MAP, "map_update");
	if (!map || !map_get_key(env, map, "map_update", values[1], &key) ||
	    !get_bytes(env, values[2], "value", &value) ||
	    !map_check(env, map, "map_update", "the value", value.length, map->value_size) ||
	    !get_u32(env, values[3], "flags", &flags))
		return NULL;
	if (bpf_map_update_elem(map->fd, key.data, value.data, flags))
		return fail(env, errno, "map_update", map->object, NULL);
	return NULL;
}

napi_value map_update_inner(napi_env env, napi_callback_info info)
{
	struct handle *map, *inner;
	napi_value values[3];
	struct bytes key;
	uint32_t fd;

	if (!get_arguments(env, info, 3, values))
		return NULL;
	map = handle_get(env, values[0], HANDLE_MAP, "map_update_inner");
	inner = map ? handle_get(env, values[2], HANDLE_MAP, "map_update_inner") : NULL;
	if (!inner || !map_get_key(env, map, "map_update_inner", values[1], &key))
		return NULL;
	/* Into a map of another kind this would write the number of a descriptor as data. */
	if (map->map_type != BPF_MAP_TYPE_ARRAY_OF_MAPS && map->map_type != BPF_MAP_TYPE_HASH_OF_MAPS)
		return fail(env, EINVAL, "map_update_inner", map->object, "not a map of maps");
	fd = inner->fd;
	if (bpf_map_update_elem(map->fd, key.data, &fd, BPF_ANY))
		return fail(env, errno, "map_update_inner", map->object, NULL);
	return NULL;
}

napi_value map_delete(napi_env env, napi_callback_info info)
{
	napi_value values[2];
	struct handle *map;
	struct bytes key;

	if (!get_arguments(env, info, 2, values))
		return NULL;
	map = handle_get(env, values[0], HANDLE_MAP, "map_delete");
	if (!map || !map_get_key(env, map, "map_delete", values[1], &key))
		return NULL;
	if (!bpf_map_delete_elem(map->fd, key.data))
		return make_bool(env, true);
	return errno == ENOENT ? make_bool(env, false) : fail(env, errno, "map_delete", map->object, NULL);
}

napi_value map_next_key(napi_env env, napi_callback_info info)
{
	napi_value values[2], result = NULL;
	struct bytes key = {0};
	struct handle *map;
	void *next;

	if (!get_arguments(env, info, 2, values))
		return NULL;
	map = handle_get(env, values[0], HANDLE_MAP, "map_next_key");
	if (!map)
		return NULL;
	if (!is_undefined(env, values[1]) && !map_get_key(env, map, "map_next_key", values[1], &key))
		return NULL;
	next = malloc(map->key_size ? map->key_size : 1);
	if (!next)
		return fail(env, ENOMEM, "map_next_key", map->object, NULL);
	if (!bpf_map_get_next_key(map->fd, key.data, next))
		result = make_bytes(env, next, map->key_size);
	else if (errno == ENOENT)
		result = undefined(env);
	else
		fail(env, errno, "map_next_key", map->object, NULL);
	free(next);
	return result;
}
