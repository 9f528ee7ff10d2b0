/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the files of the addon share. Each noun has one file; its functions for JavaScript are declared at the end and
 * listed in addon.c.
 *
 * Rules: no state outside the napi_env but the libbpf print hook (log.c), since every worker thread of Node has an
 * environment of its own. No pointer into JavaScript memory outlives the call that got it: tasks copy. A descriptor
 * that a task uses is a duplicate, so that a close in JavaScript cannot hand its number to somebody else meanwhile.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <node_api.h>

#define OBJECT_NAME 320 /* "map " and a path of ordinary length */
#define PATH_SIZE 4096

/* ---- text.c: bytes that grow ---- */

struct text {
	char *data;
	size_t length;
	size_t room;
	bool failed; /* no memory: what follows is dropped */
};

void text_add(struct text *text, const void *data, size_t length);
void text_free(struct text *text);

/* ---- log.c: what libbpf says while one thread is in it ---- */

void log_start(struct text *log);
void log_stop(void);

/* ---- error.c ---- */

struct failure {
	int err; /* errno, positive; 0: none */
	const char *call;
	char object[OBJECT_NAME];
	char detail[512]; /* empty: what errno says */
	long done;	  /* rows of a batch before the refused one; -1: no batch */
	struct text log;
};

/* Both take errno with either sign. `detail` is a format or NULL. */
void failure_set(struct failure *failure, int err, const char *call, const char *object, const char *detail, ...)
    __attribute__((format(printf, 5, 6)));
napi_value fail(napi_env env, int err, const char *call, const char *object, const char *detail, ...)
    __attribute__((format(printf, 5, 6)));
napi_value failure_error(napi_env env, const struct failure *failure);
napi_value failure_throw(napi_env env, const struct failure *failure);

/* ---- value.c: JavaScript values; the getters throw a TypeError that names `what` and return false ---- */

struct bytes {
	uint8_t *data; /* into JavaScript memory: good until this call returns */
	size_t length;
};

bool get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);
bool get_u32(napi_env env, napi_value value, const char *what, uint32_t *number);
bool get_bool(napi_env env, napi_value value, const char *what, bool *boolean);
bool get_text(napi_env env, napi_value value, const char *what, char *text, size_t size);
bool get_bytes(napi_env env, napi_value value, const char *what, struct bytes *bytes);
bool get_function(napi_env env, napi_value value, const char *what, napi_value *function);
bool is_undefined(napi_env env, napi_value value);
napi_value undefined(napi_env env);
napi_value make_bool(napi_env env, bool boolean);
napi_value make_u32(napi_env env, uint32_t number);
napi_value make_text(napi_env env, const char *text);
napi_value make_bytes(napi_env env, const void *data, size_t length);
/* Members of an object; a NULL value is skipped, so that a failed make_ needs no check of its own. */
void set(napi_env env, napi_value object, const char *name, napi_value value);
void set_u32(napi_env env, napi_value object, const char *name, uint32_t number);
void set_u64(napi_env env, napi_value object, const char *name, uint64_t number);
void set_text(napi_env env, napi_value object, const char *name, const char *text);

/* ---- handle.c: an open descriptor that JavaScript holds ---- */

enum handle_kind { HANDLE_MAP, HANDLE_PROGRAM, HANDLE_LINK, HANDLE_LOCK, HANDLE_POLLER };

struct poller;

struct handle {
	enum handle_kind kind;
	int fd;			  /* -1: closed */
	char object[OBJECT_NAME]; /* for errors, kept after the close */
	/* of a map, the kernel's own: */
	uint32_t map_type;
	uint32_t key_size;
	uint32_t value_size; /* of a lookup: all CPUs' of a per-CPU map */
	struct poller *poller;
};

/* Owns the descriptor from here on, also if it fails (NULL, an exception is pending). */
napi_value handle_make(napi_env env, enum handle_kind kind, int fd, const char *object, struct handle **made);
/* NULL: an exception is pending (not a handle of that kind: TypeError; closed: BpfError EBADF). */
struct handle *handle_get(napi_env env, napi_value value, enum handle_kind kind, const char *call);
/* A duplicate of its descriptor for a task; -1: an exception is pending. */
int handle_duplicate(napi_env env, napi_value value, enum handle_kind kind, const char *call);
int duplicate(int fd);
/* Opens a pin and refuses one of another kind. -1: an exception is pending. */
int pin_open(napi_env env, const char *path, enum handle_kind kind, const char *call);

/* ---- work.c: a task runs in a worker thread, its promise is settled on the loop ---- */

struct task {
	void (*run)(struct task *task); /* in the worker: no napi_ call; reports by failure_set(&task->failure) */
	napi_value (*result)(napi_env env, struct task *task); /* on the loop; NULL function: undefined */
	void (*release)(struct task *task);		       /* frees what is inside, not the task */
	struct failure failure;
	int netns; /* -1, or where run() acts */
	napi_async_work work;
	napi_deferred deferred;
};

/* Zeroed, `size` bytes that start with a struct task. NULL: an exception is pending. */
void *task_make(napi_env env, size_t size, void (*run)(struct task *), void (*release)(struct task *));
/* Let run() act in the network namespace of the calling thread. */
void task_in_netns(struct task *task);
/* A promise. Takes the task over, also if it fails. */
napi_value task_submit(napi_env env, struct task *task, const char *name);
void task_drop(struct task *task);

/* ---- map.c, program.c ---- */

/* They own the descriptor. `name` NULL: the kernel's. */
napi_value map_make(napi_env env, int fd, const char *name);
napi_value program_make(napi_env env, int fd, const char *name);
bool map_check(napi_env env, const struct handle *map, const char *call, const char *what, size_t size, size_t want);
bool map_get_key(napi_env env, const struct handle *map, const char *call, napi_value value, struct bytes *key);

/* ---- poller.c: uv_poll on a descriptor, kept alive until it is closed ---- */

struct poller_kind {
	void (*ready)(napi_env env, struct poller *poller);
	void (*release)(void *state);
};

/* Takes fd and state over, also if it fails. */
napi_value poller_open(napi_env env, const struct poller_kind *kind, int fd, void *state, napi_value callback,
		       const char *object);
void poller_close(struct poller *poller);
void *poller_state(struct poller *poller);
/* false: stop calling; it was closed, or the environment is going away. */
bool poller_call(napi_env env, struct poller *poller, napi_value argument);

/* ---- functions for JavaScript, see addon.ts ---- */

#define FUNCTIONS(X)                                                                                                   \
	X(useErrorClass, use_error_class)                                                                              \
	X(close, handle_close)                                                                                         \
	X(pin, handle_pin)                                                                                             \
	X(libbpfVersion, libbpf_version)                                                                               \
	X(mapCreate, map_create)                                                                                       \
	X(mapOpen, map_open)                                                                                           \
	X(mapInfo, map_info)                                                                                           \
	X(mapLookup, map_lookup)                                                                                       \
	X(mapUpdate, map_update)                                                                                       \
	X(mapUpdateInner, map_update_inner)                                                                            \
	X(mapDelete, map_delete)                                                                                       \
	X(mapNextKey, map_next_key)                                                                                    \
	X(mapRead, map_read)                                                                                           \
	X(mapWalk, map_walk)                                                                                           \
	X(mapUpdateBatch, map_update_batch)                                                                            \
	X(mapDeleteBatch, map_delete_batch)                                                                            \
	X(programOpen, program_open)                                                                                   \
	X(programInfo, program_info)                                                                                   \
	X(programLoad, program_load)                                                                                   \
	X(programRun, program_run)                                                                                     \
	X(objectLoad, object_load)                                                                                     \
	X(linkAttach, link_attach)                                                                                     \
	X(linkOpen, link_open)                                                                                         \
	X(linkInfo, link_info)                                                                                         \
	X(linkUpdate, link_update)                                                                                     \
	X(linkDetach, link_detach)                                                                                     \
	X(clsactAttach, clsact_attach)                                                                                 \
	X(clsactQuery, clsact_query)                                                                                   \
	X(clsactDetach, clsact_detach)                                                                                 \
	X(netLinks, net_links)                                                                                         \
	X(netAddresses, net_addresses)                                                                                 \
	X(netRoutes, net_routes)                                                                                       \
	X(netQdiscs, net_qdiscs)                                                                                       \
	X(genericFamily, generic_family)                                                                               \
	X(xdpFeatures, xdp_features)                                                                                   \
	X(listSockets, list_sockets)                                                                                   \
	X(destroySocket, destroy_socket)                                                                               \
	X(watchOpen, watch_open)                                                                                       \
	X(ringOpen, ring_open)                                                                                         \
	X(netnsCookie, netns_cookie)                                                                                   \
	X(setNetns, set_netns)                                                                                         \
	X(unshareNetns, unshare_netns)                                                                                 \
	X(netRequest, net_request)                                                                                     \
	X(tryConnect, try_connect)                                                                                     \
	X(synchronizeRcu, synchronize_rcu)                                                                             \
	X(dropCode, drop_code)                                                                                         \
	X(bpfFsMount, bpffs_mount)                                                                                     \
	X(isBpfFs, is_bpffs)                                                                                           \
	X(lockPath, lock_path)

#define DECLARE(name, function) napi_value function(napi_env env, napi_callback_info info);
FUNCTIONS(DECLARE)
#undef DECLARE
