/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>
#include "netlink.h"

static napi_value address_row(napi_env env, const struct nlmsghdr *header)
{
	const struct ifaddrmsg *address = NLMSG_DATA(header);
	const struct rtattr *table[IFA_FLAGS + 1];
	char text[64];
	napi_value row;

	if (header->nlmsg_type != RTM_NEWADDR || header->nlmsg_len < NLMSG_LENGTH(sizeof(*address)) ||
	    (address->ifa_family != AF_INET && address->ifa_family != AF_INET6) ||
	    napi_create_object(env, &row) != napi_ok)
		return NULL;
	attributes_parse(IFA_RTA(address), IFA_PAYLOAD(header), table, IFA_FLAGS);
	set_u32(env, row, "ifindex", address->ifa_index);
	set_u32(env, row, "family", address->ifa_family == AF_INET ? 4 : 6);
	set_text(env, row, "address",
		 attribute_address(table[IFA_LOCAL] ? table[IFA_LOCAL] : table[IFA_ADDRESS], text, sizeof(text)));
	set_u32(env, row, "prefixLength", address->ifa_prefixlen);
	set_u32(env, row, "scope", address->ifa_scope);
	set_u32(env, row, "flags", attribute_u32(table[IFA_FLAGS], address->ifa_flags));
	return row;
}

napi_value net_addresses(napi_env env, napi_callback_info info)
{
	(void)info;
	return dump_submit(env, RTM_GETADDR, "RTM_GETADDR", address_row);
}
