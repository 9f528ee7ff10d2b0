/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <unistd.h>
#include "netlink.h"

static const char *address_text(int family, const __be32 *address, char *text)
{
	return inet_ntop(family, address, text, INET6_ADDRSTRLEN) ? text : "";
}

static napi_value end_of_socket(napi_env env, int family, const __be32 *address, __be16 port)
{
	char text[INET6_ADDRSTRLEN];
	napi_value object;

	if (napi_create_object(env, &object) != napi_ok)
		return NULL;
	set_text(env, object, "address", address_text(family, address, text));
	set_u32(env, object, "port", ntohs(port));
	return object;
}

static napi_value socket_row(napi_env env, const struct nlmsghdr *header)
{
	const struct inet_diag_msg *found = NLMSG_DATA(header);
	napi_value row;

	if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY || header->nlmsg_len < NLMSG_LENGTH(sizeof(*found)) ||
	    napi_create_object(env, &row) != napi_ok)
		return NULL;
	set_u32(env, row, "state", found->idiag_state);
	set(env, row, "local", end_of_socket(env, found->idiag_family, found->id.idiag_src, found->id.idiag_sport));
	set(env, row, "remote", end_of_socket(env, found->idiag_family, found->id.idiag_dst, found->id.idiag_dport));
	set_u32(env, row, "ifindex", found->id.idiag_if);
	set_u64(env, row, "cookie", (uint64_t)found->id.idiag_cookie[1] << 32 | found->id.idiag_cookie[0]);
	return row;
}

/* family, IP protocol, set of states by their numbers, port of the other end or 0 */
napi_value list_sockets(napi_env env, napi_callback_info info)
{
	uint32_t family, protocol, states, port;
	struct inet_diag_req_v2 filter = {0};
	struct request request;
	napi_value values[4];

	if (!get_arguments(env, info, 4, values) || !get_u32(env, values[0], "listSockets: family", &family) ||
	    !get_u32(env, values[1], "listSockets: protocol", &protocol) ||
	    !get_u32(env, values[2], "listSockets: states", &states) ||
	    !get_u32(env, values[3], "listSockets: remote port", &port))
		return NULL;
	filter.sdiag_family = family == 6 ? AF_INET6 : AF_INET;
	filter.sdiag_protocol = protocol;
	filter.idiag_states = states;
	filter.id.idiag_dport = htons(port);
	request_start(&request, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &filter, sizeof(filter));
	return dump_request(env, NETLINK_SOCK_DIAG, &request, "SOCK_DIAG_BY_FAMILY", socket_row);
}

struct destruction {
	struct task task;
	int fd;
	struct request request;
	char object[OBJECT_NAME];
	bool gone;
};

static void release(struct task *task)
{
	close(((struct destruction *)task)->fd);
}

static void run(struct task *task)
{
	struct destruction *one = (struct destruction *)task;
	char words[256];
	int err = netlink_exchange(one->fd, &one->request, NULL, words, sizeof(words));

	one->gone = err == ENOENT;
	if (err && !one->gone)
		failure_set(&task->failure, err, "SOCK_DESTROY", one->object, words[0] ? "%s" : NULL, words);
}

static napi_value result(napi_env env, struct task *task)
{
	return make_bool(env, !((struct destruction *)task)->gone);
}

static bool get_end(napi_env env, napi_value address, napi_value port, int family, const char *what, __be32 *bytes,
		    __be16 *number)
{
	char text[INET6_ADDRSTRLEN];
	uint32_t value;

	if (!get_text(env, address, what, text, sizeof(text)) || !get_u32(env, port, what, &value))
		return false;
	*number = htons(value);
	if (inet_pton(family, text, bytes) == 1)
		return true;
	fail(env, EINVAL, "SOCK_DESTROY", text, "%s: not an address of this family", what);
	return false;
}

/* family, IP protocol, local address and port, remote address and port, ifindex, cookie */
napi_value destroy_socket(napi_env env, napi_callback_info info)
{
	struct inet_diag_req_v2 wanted = {.idiag_states = ~0u};
	uint32_t family, protocol, ifindex;
	struct destruction *one;
	napi_value values[8];
	uint64_t cookie;
	bool lossless;

	if (!get_arguments(env, info, 8, values) || !get_u32(env, values[0], "destroySocket: family", &family) ||
	    !get_u32(env, values[1], "destroySocket: protocol", &protocol) ||
	    !get_u32(env, values[6], "destroySocket: ifindex", &ifindex))
		return NULL;
	wanted.sdiag_family = family == 6 ? AF_INET6 : AF_INET;
	wanted.sdiag_protocol = protocol;
	wanted.id.idiag_if = ifindex;
	if (!get_end(env, values[2], values[3], wanted.sdiag_family, "destroySocket: local", wanted.id.idiag_src,
		     &wanted.id.idiag_sport) ||
	    !get_end(env, values[4], values[5], wanted.sdiag_family, "destroySocket: remote", wanted.id.idiag_dst,
		     &wanted.id.idiag_dport))
		return NULL;
	if (napi_get_value_bigint_uint64(env, values[7], &cookie, &lossless) != napi_ok || !lossless) {
		napi_throw_type_error(env, NULL, "destroySocket: cookie must be a bigint of 64 bits");
		return NULL;
	}
	wanted.id.idiag_cookie[0] = (uint32_t)cookie;
	wanted.id.idiag_cookie[1] = cookie >> 32;

	one = task_make(env, sizeof(*one), run, release);
	if (!one)
		return NULL;
	one->task.result = result;
	request_start(&one->request, SOCK_DESTROY, 0, &wanted, sizeof(wanted));
	snprintf(one->object, sizeof(one->object), "socket %" PRIu64, cookie);
	one->fd = netlink_open(NETLINK_SOCK_DIAG, 0);
	if (one->fd < 0) {
		int err = errno;

		task_drop(&one->task);
		return fail(env, err, "SOCK_DESTROY", "netlink", NULL);
	}
	return task_submit(env, &one->task, "SOCK_DESTROY");
}
