/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>
#include <unistd.h>
#include "netlink.h"

#define SKIP_STATS (1 << 3) /* RTEXT_FILTER_SKIP_STATS: more than half of a link's message */

struct dump {
	struct task task;
	int fd;
	struct request request;
	const char *call;
	struct text reply;
	dump_row row;
};

static void release(struct task *task)
{
	struct dump *dump = (struct dump *)task;

	close(dump->fd);
	text_free(&dump->reply);
}

static void run(struct task *task)
{
	struct dump *dump = (struct dump *)task;
	char words[256];
	int err = netlink_exchange(dump->fd, &dump->request, &dump->reply, words, sizeof(words));

	if (err)
		failure_set(&task->failure, err, "netlink", dump->call, words[0] ? "%s" : NULL, words);
}

static napi_value result(napi_env env, struct task *task)
{
	struct dump *dump = (struct dump *)task;
	const struct nlmsghdr *header = (const struct nlmsghdr *)dump->reply.data;
	unsigned int rest = dump->reply.length;
	uint32_t count = 0;
	napi_value list;

	if (napi_create_array(env, &list) != napi_ok)
		return NULL;
	for (; rest && NLMSG_OK(header, rest); header = NLMSG_NEXT(header, rest)) {
		napi_handle_scope scope;
		napi_value row;

		if (napi_open_handle_scope(env, &scope) != napi_ok)
			return NULL;
		row = dump->row(env, header);
		if (row)
			napi_set_element(env, list, count++, row);
		napi_close_handle_scope(env, scope);
	}
	return list;
}

/* The socket is opened here, in the caller's network namespace, and only used in the worker. */
napi_value dump_request(napi_env env, int protocol, const struct request *request, const char *call, dump_row row)
{
	int fd = netlink_open(protocol, 0);
	struct dump *dump;

	if (fd < 0)
		return fail(env, errno, "netlink", call, NULL);
	dump = task_make(env, sizeof(*dump), run, release);
	if (!dump) {
		close(fd);
		return NULL;
	}
	dump->task.result = result;
	dump->fd = fd;
	dump->request = *request;
	dump->call = call;
	dump->row = row;
	return task_submit(env, &dump->task, call);
}

/* Of all families at once: a kernel without one of them answers a request for that one with all the others. */
napi_value dump_submit(napi_env env, uint16_t type, const char *call, dump_row row)
{
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
	struct rtmsg route = {.rtm_family = AF_UNSPEC};
	struct ifaddrmsg address = {.ifa_family = AF_UNSPEC};
	struct request request;

	if (type == RTM_GETLINK) {
		request_start(&request, type, NLM_F_DUMP, &link, sizeof(link));
		request_put_u32(&request, IFLA_EXT_MASK, SKIP_STATS);
	} else if (type == RTM_GETADDR) {
		request_start(&request, type, NLM_F_DUMP, &address, sizeof(address));
	} else {
		request_start(&request, type, NLM_F_DUMP, &route, sizeof(route));
	}
	return dump_request(env, NETLINK_ROUTE, &request, call, row);
}
