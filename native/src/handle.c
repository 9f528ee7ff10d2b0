/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include "addon.h"

/* Random; tells our handles from the wrapped objects of other addons. */
static const napi_type_tag tag = {0x8f1c5be06a3d42d7, 0xb1e97d5028c64f3a};

static const char *const kind_names[] = {
    [HANDLE_MAP] = "map",   [HANDLE_PROGRAM] = "program", [HANDLE_LINK] = "link",
    [HANDLE_LOCK] = "lock", [HANDLE_POLLER] = "watcher",
};

static void shut(struct handle *handle)
{
	/* A child between fork and exec has the descriptor too, and would keep the lock for us. */
	if (handle->kind == HANDLE_LOCK && handle->fd >= 0)
		flock(handle->fd, LOCK_UN);
	if (handle->poller)
		poller_close(handle->poller); /* owns the descriptor, forgets us */
	else if (handle->fd >= 0)
		close(handle->fd);
	handle->fd = -1;
}

/* The net below a forgotten close(). */
static void finalize(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	shut(data);
	free(data);
}

napi_value handle_make(napi_env env, enum handle_kind kind, int fd, const char *object, struct handle **made)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	napi_value value;

	if (!handle || napi_create_object(env, &value) != napi_ok)
		goto no_memory;
	handle->kind = kind;
	handle->fd = fd;
	snprintf(handle->object, sizeof(handle->object), "%s", object);
	if (napi_wrap(env, value, handle, finalize, NULL, NULL) != napi_ok)
		goto no_memory;
	/* From here on the finalizer owns both. */
	if (napi_type_tag_object(env, value, &tag) != napi_ok)
		return fail(env, ENOMEM, "handle_make", object, NULL);
	if (made)
		*made = handle;
	return value;

no_memory:
	free(handle);
	if (fd >= 0)
		close(fd);
	return fail(env, ENOMEM, "handle_make", object, NULL);
}

static struct handle *get_any(napi_env env, napi_value value)
{
	struct handle *handle;
	bool tagged = false;
	napi_valuetype type;

	if (napi_typeof(env, value, &type) != napi_ok || type != napi_object)
		return NULL;
	if (napi_check_object_type_tag(env, value, &tag, &tagged) != napi_ok || !tagged)
		return NULL;
	return napi_unwrap(env, value, (void **)&handle) == napi_ok ? handle : NULL;
}

struct handle *handle_get(napi_env env, napi_value value, enum handle_kind kind, const char *call)
{
	struct handle *handle = get_any(env, value);
	char message[128];

	if (!handle || handle->kind != kind) {
		snprintf(message, sizeof(message), "%s needs a %s", call, kind_names[kind]);
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
		return NULL;
	}
	if (handle->fd < 0) {
		fail(env, EBADF, call, handle->object, "it is closed");
		return NULL;
	}
	return handle;
}

int duplicate(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

int handle_duplicate(napi_env env, napi_value value, enum handle_kind kind, const char *call)
{
	struct handle *handle = handle_get(env, value, kind, call);
	int fd;

	if (!handle)
		return -1;
	fd = duplicate(handle->fd);
	if (fd < 0)
		fail(env, errno, call, handle->object, NULL);
	return fd;
}

napi_value handle_close(napi_env env, napi_callback_info info)
{
	struct handle *handle;
	napi_value value;

	if (!get_arguments(env, info, 1, &value))
		return NULL;
	handle = get_any(env, value);
	if (!handle) {
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "close needs a handle");
		return NULL;
	}
	shut(handle);
	return NULL;
}

napi_value handle_pin(napi_env env, napi_callback_info info)
{
	char path[PATH_SIZE];
	struct handle *handle;
	napi_value values[2];

	if (!get_arguments(env, info, 2, values))
		return NULL;
	handle = get_any(env, values[0]);
	if (!handle || handle->kind > HANDLE_LINK) {
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "pin needs a map, program or link");
		return NULL;
	}
	if (!get_text(env, values[1], "pin: path", path, sizeof(path)))
		return NULL;
	if (handle->fd < 0)
		return fail(env, EBADF, "pin", handle->object, "it is closed");
	if (bpf_obj_pin(handle->fd, path))
		return fail(env, errno, "pin", path, errno == EINVAL ? "not a free name on a bpffs" : NULL);
	return NULL;
}

/* What the kernel calls the files; asking a program for its info as a map would succeed with nonsense. */
static bool is_kind(int fd, enum handle_kind kind, char *found, size_t size)
{
	static const char *const files[] = {
	    [HANDLE_MAP] = "anon_inode:bpf-map",
	    [HANDLE_PROGRAM] = "anon_inode:bpf-prog",
	    [HANDLE_LINK] = "anon_inode:bpf_link",
	};
	char link[64];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, found, size - 1);
	if (length < 0)
		length = snprintf(found, size, "something unknown (%s)", strerrorname_np(errno));
	found[length] = '\0';
	/* A link that is got from its pin has another name than one that was just made. */
	if (kind == HANDLE_LINK && !strcmp(found, "anon_inode:bpf-link"))
		return true;
	return strcmp(found, files[kind]) == 0;
}

int pin_open(napi_env env, const char *path, enum handle_kind kind, const char *call)
{
	char found[64];
	int fd = bpf_obj_get(path);

	if (fd < 0) {
		fail(env, errno, call, path, NULL);
		return -1;
	}
	if (!is_kind(fd, kind, found, sizeof(found))) {
		close(fd);
		fail(env, EINVAL, call, path, "not a %s but %s", kind_names[kind], found);
		return -1;
	}
	return fd;
}
