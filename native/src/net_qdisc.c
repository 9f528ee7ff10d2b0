/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>
#include "netlink.h"

static napi_value qdisc_row(napi_env env, const struct nlmsghdr *header)
{
	const struct tcmsg *qdisc = NLMSG_DATA(header);
	const struct rtattr *table[TCA_KIND + 1];
	char text[64];
	napi_value row;

	if (header->nlmsg_type != RTM_NEWQDISC || header->nlmsg_len < NLMSG_LENGTH(sizeof(*qdisc)) ||
	    napi_create_object(env, &row) != napi_ok)
		return NULL;
	attributes_parse(TCA_RTA(qdisc), header->nlmsg_len - NLMSG_LENGTH(sizeof(*qdisc)), table, TCA_KIND);
	set_u32(env, row, "ifindex", qdisc->tcm_ifindex);
	set_u32(env, row, "parent", qdisc->tcm_parent);
	set_text(env, row, "kind", attribute_text(table[TCA_KIND], text, sizeof(text)));
	return row;
}

napi_value net_qdiscs(napi_env env, napi_callback_info info)
{
	struct tcmsg all = {.tcm_family = AF_UNSPEC};
	struct request request;

	(void)info;
	request_start(&request, RTM_GETQDISC, NLM_F_DUMP, &all, sizeof(all));
	return dump_request(env, NETLINK_ROUTE, &request, "RTM_GETQDISC", qdisc_row);
}
