/* SPDX-License-Identifier: Apache-2.0 */
#include "addon.h"

#define ENOTSUPP 524 /* "this map type has no batch" */
#define READ_RETRIES 16

static bool no_batch(int err)
{
	return err == ENOTSUPP || err == EOPNOTSUPP;
}

struct rows {
	struct handle *map;
	struct bytes cursor, keys, values;
	bool first;
	uint32_t room;
};

/* Key and value rooms have to be for the same number of rows; the cursor for a key or the kernel's own 4 bytes. */
static bool get_rows(napi_env env, napi_callback_info info, const char *call, struct rows *rows)
{
	napi_value values[5];
	struct handle *map;

	if (!get_arguments(env, info, 5, values))
		return false;
	map = rows->map = handle_get(env, values[0], HANDLE_MAP, call);
	if (!map || !get_bytes(env, values[1], "cursor", &rows->cursor) ||
	    !get_bool(env, values[2], "first", &rows->first) || !get_bytes(env, values[3], "keys", &rows->keys) ||
	    !get_bytes(env, values[4], "values", &rows->values))
		return false;
	if (!map->key_size || !map->value_size) {
		fail(env, EINVAL, call, map->object, "this type of map has no rows");
		return false;
	}
	rows->room = rows->keys.length / map->key_size;
	if (rows->room == 0) {
		fail(env, EINVAL, call, map->object, "there must be room for a row");
		return false;
	}
	return map_check(env, map, call, "the cursor", rows->cursor.length, map->key_size > 4 ? map->key_size : 4) &&
	       map_check(env, map, call, "room for keys", rows->keys.length, (size_t)rows->room * map->key_size) &&
	       map_check(env, map, call, "room for values", rows->values.length, (size_t)rows->room * map->value_size);
}

static napi_value rows_result(napi_env env, uint32_t count, const char *state)
{
	napi_value result;

	if (napi_create_object(env, &result) != napi_ok)
		return NULL;
	set_u32(env, result, "count", count);
	set_text(env, result, "state", state);
	return result;
}

/* EINTR: kernels before 6.9 give up when rows vanish between finding and copying them; with rows, that is a chunk. */
static int read_batch(const struct rows *rows, uint32_t *count)
{
	void *cursor = rows->cursor.data, *from = rows->first ? NULL : cursor;
	int tries, err = 0;

	for (tries = 0; tries < READ_RETRIES; tries++) {
		*count = rows->room;
		if (!bpf_map_lookup_batch(rows->map->fd, from, cursor, rows->keys.data, rows->values.data, count, NULL))
			return 0;
		err = errno;
		if (err != EINTR)
			return err;
		if (*count > 0)
			return 0;
	}
	return err;
}

napi_value map_read(napi_env env, napi_callback_info info)
{
	struct rows rows;
	uint32_t count;
	int err;

	if (!get_rows(env, info, "map_read", &rows))
		return NULL;
	err = read_batch(&rows, &count);
	if (err == 0)
		return rows_result(env, count, "more");
	if (err == ENOENT)
		return rows_result(env, count, "end");
	if (err == ENOSPC)
		return rows_result(env, 0, "grow");
	if (no_batch(err))
		return rows_result(env, 0, "unsupported");
	return fail(env, err, "map_read", rows.map->object, NULL);
}

/* Row by row, for types without a batch. The cursor is the last key that was asked for. */
napi_value map_walk(napi_env env, napi_callback_info info)
{
	struct rows rows;
	uint32_t count = 0;

	if (!get_rows(env, info, "map_walk", &rows))
		return NULL;
	while (count < rows.room) {
		size_t key_size = rows.map->key_size, value_size = rows.map->value_size;
		uint8_t *key = rows.keys.data + count * key_size;

		if (bpf_map_get_next_key(rows.map->fd, rows.first ? NULL : rows.cursor.data, key)) {
			if (errno == ENOENT)
				return rows_result(env, count, "end");
			return fail(env, errno, "map_walk", rows.map->object, NULL);
		}
		rows.first = false;
		memcpy(rows.cursor.data, key, key_size);
		if (!bpf_map_lookup_elem(rows.map->fd, key, rows.values.data + count * value_size))
			count++;
		else if (errno != ENOENT)
			return fail(env, errno, "map_walk", rows.map->object, NULL);
	}
	return rows_result(env, count, "more");
}

static napi_value refuse(napi_env env, int err, const char *call, const struct handle *map, uint32_t done)
{
	struct failure failure = {0};

	failure_set(&failure, err, call, map->object, NULL);
	failure.done = done;
	return failure_throw(env, &failure);
}

/*
 * Both writers return errno and the rows done. A kernel that refuses before the first row leaves the count as it was,
 * and one that refuses a row never reports them all: the full count with an error means none.
 */
static int write_rows(const struct handle *map, const uint8_t *keys, const uint8_t *values, uint32_t total,
		      uint32_t *done)
{
	int err;

	*done = total;
	if (!bpf_map_update_batch(map->fd, keys, values, done, NULL))
		return 0;
	err = errno;
	if (*done == total)
		*done = 0;
	if (!no_batch(err))
		return err;
	for (*done = 0; *done < total; ++*done)
		if (bpf_map_update_elem(map->fd, keys + (size_t)*done * map->key_size,
					values + (size_t)*done * map->value_size, BPF_ANY))
			return errno;
	return 0;
}

static int delete_rows(const struct handle *map, const uint8_t *keys, uint32_t total, uint32_t *done)
{
	int err;

	*done = total;
	if (!bpf_map_delete_batch(map->fd, keys, done, NULL))
		return 0;
	err = errno;
	if (*done == total)
		*done = 0;
	if (!no_batch(err))
		return err;
	for (*done = 0; *done < total; ++*done)
		if (bpf_map_delete_elem(map->fd, keys + (size_t)*done * map->key_size))
			return errno;
	return 0;
}

static bool get_packed(napi_env env, const struct handle *map, const char *call, napi_value value, struct bytes *keys,
		       uint32_t *count)
{
	if (!get_bytes(env, value, "keys", keys))
		return false;
	if (!map->key_size || keys->length % map->key_size) {
		fail(env, EINVAL, call, map->object, "keys must be a multiple of %u bytes, got %zu", map->key_size,
		     keys->length);
		return false;
	}
	*count = keys->length / map->key_size;
	return true;
}

napi_value map_update_batch(napi_env env, napi_callback_info info)
{
	const char *call = "map_update_batch";
	struct bytes keys, rows;
	napi_value values[3];
	struct handle *map;
	uint32_t total, done;
	int err;

	if (!get_arguments(env, info, 3, values))
		return NULL;
	map = handle_get(env, values[0], HANDLE_MAP, call);
	if (!map || !get_packed(env, map, call, values[1], &keys, &total) ||
	    !get_bytes(env, values[2], "values", &rows) ||
	    !map_check(env, map, call, "values", rows.length, (size_t)total * map->value_size))
		return NULL;
	if (total == 0)
		return make_u32(env, 0);
	err = write_rows(map, keys.data, rows.data, total, &done);
	return err ? refuse(env, err, call, map, done) : make_u32(env, total);
}

napi_value map_delete_batch(napi_env env, napi_callback_info info)
{
	const char *call = "map_delete_batch";
	uint32_t total, at = 0, done, deleted = 0;
	napi_value values[2];
	struct handle *map;
	struct bytes keys;
	int err;

	if (!get_arguments(env, info, 2, values))
		return NULL;
	map = handle_get(env, values[0], HANDLE_MAP, call);
	if (!map || !get_packed(env, map, call, values[1], &keys, &total))
		return NULL;
	while (at < total) {
		err = delete_rows(map, keys.data + (size_t)at * map->key_size, total - at, &done);
		deleted += done;
		at += done;
		if (err == ENOENT)
			at++; /* the kernel stops at a key that is not there */
		else if (err)
			return refuse(env, err, call, map, at);
	}
	return make_u32(env, deleted);
}
