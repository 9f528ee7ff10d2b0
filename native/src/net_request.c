/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>
#include "netlink.h"

/* type, flags, body */
napi_value net_request(napi_env env, napi_callback_info info)
{
	struct request request;
	napi_value values[3];
	uint32_t type, flags;
	struct bytes body;
	char words[256] = "";
	int fd, err;

	if (!get_arguments(env, info, 3, values) || !get_u32(env, values[0], "netRequest: type", &type) ||
	    !get_u32(env, values[1], "netRequest: flags", &flags) ||
	    !get_bytes(env, values[2], "netRequest: body", &body))
		return NULL;
	if (body.length > sizeof(request.body))
		return fail(env, EMSGSIZE, "rtnetlink", "request", "%zu bytes, room is for %zu", body.length,
			    sizeof(request.body));
	request_start(&request, type, flags, body.data, body.length);
	fd = netlink_open(NETLINK_ROUTE, 0);
	if (fd < 0)
		return fail(env, errno, "rtnetlink", "netlink", NULL);
	err = netlink_exchange(fd, &request, NULL, words, sizeof(words));
	close(fd);
	return err ? fail(env, err, "rtnetlink", "request", words[0] ? "%s" : NULL, words) : NULL;
}
