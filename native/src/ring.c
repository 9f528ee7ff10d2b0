/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>
#include "addon.h"

#define BURST_BYTES (1 << 20) /* what is read before JavaScript gets it: a fast writer must not starve the loop */

struct ring {
	struct ring_buffer *buffer;
	struct text burst; /* records, each behind its length as size_t */
	int map;
};

static void release(void *state)
{
	struct ring *ring = state;

	ring_buffer__free(ring->buffer); /* closes the descriptor that is polled */
	text_free(&ring->burst);
	close(ring->map);
	free(ring);
}

/* JavaScript is not called from in here: it could close the ring that is being read. */
static int collect(void *context, void *data, size_t size)
{
	struct ring *ring = context;

	text_add(&ring->burst, &size, sizeof(size));
	text_add(&ring->burst, data, size);
	return ring->burst.length >= BURST_BYTES ? -EAGAIN : 0;
}

static void ready(napi_env env, struct poller *poller)
{
	struct ring *ring = poller_state(poller);
	size_t at = 0, size;
	bool more = true;

	ring->burst.length = 0;
	ring_buffer__consume(ring->buffer);
	while (more && at + sizeof(size) <= ring->burst.length) {
		napi_handle_scope scope;

		memcpy(&size, ring->burst.data + at, sizeof(size));
		at += sizeof(size);
		if (at + size > ring->burst.length || napi_open_handle_scope(env, &scope) != napi_ok)
			return;
		more = poller_call(env, poller, make_bytes(env, ring->burst.data + at, size));
		napi_close_handle_scope(env, scope);
		at += size;
	}
}

napi_value ring_open(napi_env env, napi_callback_info info)
{
	static const struct poller_kind kind = {ready, release};
	struct handle *map;
	struct ring *ring;
	napi_value values[2], callback;
	int fd;

	if (!get_arguments(env, info, 2, values))
		return NULL;
	map = handle_get(env, values[0], HANDLE_MAP, "ring_open");
	if (!map || !get_function(env, values[1], "RingBuffer: onRecord", &callback))
		return NULL;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return fail(env, ENOMEM, "ring_open", map->object, NULL);
	/* The ring's epoll forgets a map whose descriptor is closed: it gets one of its own. */
	ring->map = duplicate(map->fd);
	ring->buffer = ring->map >= 0 ? ring_buffer__new(ring->map, collect, ring, NULL) : NULL;
	fd = ring->buffer ? duplicate(ring_buffer__epoll_fd(ring->buffer)) : -1;
	if (fd < 0) {
		int err = errno;

		if (ring->buffer)
			ring_buffer__free(ring->buffer);
		if (ring->map >= 0)
			close(ring->map);
		free(ring);
		return fail(env, err, "ring_open", map->object,
			    map->map_type == BPF_MAP_TYPE_RINGBUF ? NULL : "not a ring buffer");
	}
	return poller_open(env, &kind, fd, ring, callback, map->object);
}
