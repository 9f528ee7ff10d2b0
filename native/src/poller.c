/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>
#include <uv.h>
#include "addon.h"

struct poller {
	uv_poll_t poll;
	napi_env env;
	const struct poller_kind *kind;
	void *state;
	int fd;
	struct handle *owner; /* NULL: closed */
	napi_ref keep;	      /* the owner's JavaScript object: a watcher must not vanish because nobody holds it */
	napi_ref callback;
	napi_async_context context;
	napi_async_cleanup_hook_handle cleanup;
};

static void closed(uv_handle_t *uv)
{
	struct poller *poller = uv->data;

	/* Lets a dying environment go on: its loop has no handle of ours now. */
	if (poller->cleanup)
		napi_remove_async_cleanup_hook(poller->cleanup);
	poller->kind->release(poller->state);
	close(poller->fd);
	free(poller);
}

void poller_close(struct poller *poller)
{
	if (!poller->owner)
		return;
	poller->owner->poller = NULL;
	poller->owner->fd = -1;
	poller->owner = NULL;
	uv_poll_stop(&poller->poll);
	napi_delete_reference(poller->env, poller->callback);
	napi_delete_reference(poller->env, poller->keep);
	napi_async_destroy(poller->env, poller->context);
	uv_close((uv_handle_t *)&poller->poll, closed);
}

/* The environment ends, as that of a worker thread does: no handle may be left in its loop. */
static void clean_up(napi_async_cleanup_hook_handle hook, void *data)
{
	(void)hook;
	poller_close(data);
}

static void readable(uv_poll_t *uv, int status, int events)
{
	struct poller *poller = uv->data;
	napi_handle_scope scope;

	(void)status; /* an error is readable too: the read will tell */
	(void)events;
	if (!poller->owner || napi_open_handle_scope(poller->env, &scope) != napi_ok)
		return;
	poller->kind->ready(poller->env, poller);
	napi_close_handle_scope(poller->env, scope);
}

void *poller_state(struct poller *poller)
{
	return poller->state;
}

bool poller_call(napi_env env, struct poller *poller, napi_value argument)
{
	napi_value callback, receiver, error;
	napi_status status;

	if (!poller->owner || !argument || napi_get_reference_value(env, poller->callback, &callback) != napi_ok ||
	    napi_get_reference_value(env, poller->keep, &receiver) != napi_ok)
		return false;
	status = napi_make_callback(env, poller->context, receiver, callback, 1, &argument, NULL);
	if (status == napi_pending_exception) {
		if (napi_get_and_clear_last_exception(env, &error) == napi_ok)
			napi_fatal_exception(env, error);
	} else if (status != napi_ok) {
		return false;
	}
	return poller->owner != NULL;
}

/* All of it or nothing: what was made before a failure is taken back. */
static bool start(napi_env env, struct poller *poller, napi_value value, napi_value callback)
{
	napi_value name = make_text(env, "libbpf-ts");
	uv_loop_t *loop;

	if (!name || napi_get_uv_event_loop(env, &loop) != napi_ok ||
	    napi_create_reference(env, callback, 1, &poller->callback) != napi_ok)
		return false;
	if (napi_create_reference(env, value, 1, &poller->keep) != napi_ok)
		goto no_keep;
	if (napi_async_init(env, value, name, &poller->context) != napi_ok)
		goto no_context;
	if (uv_poll_init(loop, &poller->poll, poller->fd))
		goto no_poll;
	poller->poll.data = poller;
	poller->owner->poller = poller;
	if (napi_add_async_cleanup_hook(env, clean_up, poller, &poller->cleanup) == napi_ok &&
	    uv_poll_start(&poller->poll, UV_READABLE, readable) == 0)
		return true;
	poller_close(poller); /* frees it by and by */
	return false;

no_poll:
	napi_async_destroy(env, poller->context);
no_context:
	napi_delete_reference(env, poller->keep);
no_keep:
	napi_delete_reference(env, poller->callback);
	return false;
}

napi_value poller_open(napi_env env, const struct poller_kind *kind, int fd, void *state, napi_value callback,
		       const char *object)
{
	struct poller *poller = calloc(1, sizeof(*poller));
	struct handle *owner;
	napi_value value;

	/* The handle's descriptor only says "open"; the poller owns the real one. */
	value = poller ? handle_make(env, HANDLE_POLLER, -1, object, &owner) : NULL;
	if (!value) {
		free(poller);
		kind->release(state);
		close(fd);
		return fail(env, ENOMEM, "open", object, NULL);
	}
	poller->env = env;
	poller->kind = kind;
	poller->state = state;
	poller->fd = fd;
	poller->owner = owner;
	owner->fd = fd;
	if (start(env, poller, value, callback))
		return value;
	if (!owner->poller && poller->owner) {
		owner->fd = -1;
		kind->release(state);
		close(fd);
		free(poller);
	}
	return fail(env, ENOMEM, "open", object, "cannot be watched");
}
