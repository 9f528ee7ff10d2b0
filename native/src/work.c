/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>
#include "addon.h"

#define OWN_NETNS "/proc/thread-self/ns/net"

void *task_make(napi_env env, size_t size, void (*run)(struct task *), void (*release)(struct task *))
{
	struct task *task = calloc(1, size);

	if (!task) {
		napi_throw_error(env, "ENOMEM", "out of memory");
		return NULL;
	}
	task->run = run;
	task->release = release;
	task->netns = -1;
	return task;
}

void task_in_netns(struct task *task)
{
	task->netns = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
}

void task_drop(struct task *task)
{
	if (task->release)
		task->release(task);
	if (task->netns >= 0)
		close(task->netns);
	text_free(&task->failure.log);
	free(task);
}

/*
 * Threads of the pool live in the namespace they were born in, which need not be the caller's. Sets `home` to the way
 * back, -1 if this is the right place already. Returns errno.
 */
static int enter(int netns, int *home)
{
	struct stat there, here;
	int err = 0;

	*home = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	if (*home < 0)
		return errno;
	if (fstat(*home, &here) || fstat(netns, &there)) {
		err = errno;
	} else if (here.st_ino != there.st_ino || here.st_dev != there.st_dev) {
		if (!setns(netns, CLONE_NEWNET))
			return 0;
		err = errno;
	}
	close(*home);
	*home = -1;
	return err;
}

static void execute(napi_env env, void *data)
{
	struct task *task = data;
	int home = -1, err = task->netns >= 0 ? enter(task->netns, &home) : 0;

	(void)env;
	if (err) {
		failure_set(&task->failure, err, "setns", "the caller's network namespace", NULL);
		return;
	}
	task->run(task);
	if (home < 0)
		return;
	/* A pool thread left in a foreign namespace would spoil every later task: better no process than that. */
	if (setns(home, CLONE_NEWNET))
		abort();
	close(home);
}

static napi_value outcome(napi_env env, struct task *task, bool *good)
{
	napi_value value = NULL;

	*good = task->failure.err == 0;
	if (!*good)
		value = failure_error(env, &task->failure);
	else
		value = task->result ? task->result(env, task) : undefined(env);
	if (!value) {
		*good = false;
		napi_get_and_clear_last_exception(env, &value);
	}
	return value;
}

static void complete(napi_env env, napi_status status, void *data)
{
	struct task *task = data;
	napi_value value;
	bool good;

	napi_delete_async_work(env, task->work);
	if (status == napi_ok) {
		value = outcome(env, task, &good);
		if (value && good)
			napi_resolve_deferred(env, task->deferred, value);
		else if (value)
			napi_reject_deferred(env, task->deferred, value);
	}
	task_drop(task);
}

napi_value task_submit(napi_env env, struct task *task, const char *name)
{
	napi_value promise, resource = make_text(env, name);

	if (!resource || napi_create_promise(env, &task->deferred, &promise) != napi_ok ||
	    napi_create_async_work(env, NULL, resource, execute, complete, task, &task->work) != napi_ok)
		goto failed;
	if (napi_queue_async_work(env, task->work) == napi_ok)
		return promise;
	napi_delete_async_work(env, task->work);
failed:
	task_drop(task);
	napi_throw_error(env, "ENOMEM", "a task could not be started");
	return NULL;
}
