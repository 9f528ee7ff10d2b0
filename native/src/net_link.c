/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/if.h>
#include "netlink.h"

static const char *hardware_address(const struct rtattr *attribute, char *text, size_t size)
{
	const uint8_t *bytes = attribute ? RTA_DATA(attribute) : NULL;
	size_t i, length = attribute ? RTA_PAYLOAD(attribute) : 0;

	text[0] = '\0';
	for (i = 0; i < length && 3 * i + 3 < size; i++)
		sprintf(text + 3 * i, "%02x:", bytes[i]);
	if (i)
		text[3 * i - 1] = '\0';
	return text;
}

static void set_kind(napi_env env, napi_value row, const struct rtattr *linkinfo)
{
	const struct rtattr *table[IFLA_INFO_KIND + 1] = {NULL};
	char text[64];

	if (linkinfo)
		attributes_parse(RTA_DATA(linkinfo), RTA_PAYLOAD(linkinfo), table, IFLA_INFO_KIND);
	set_text(env, row, "kind", attribute_text(table[IFLA_INFO_KIND], text, sizeof(text)));
}

/* Of one in driver and one in generic mode at once, either will do. */
static uint32_t xdp_program(const struct rtattr *xdp)
{
	const struct rtattr *table[IFLA_XDP_SKB_PROG_ID + 1] = {NULL};

	if (xdp)
		attributes_parse(RTA_DATA(xdp), RTA_PAYLOAD(xdp), table, IFLA_XDP_SKB_PROG_ID);
	return attribute_u32(table[IFLA_XDP_PROG_ID],
			     attribute_u32(table[IFLA_XDP_DRV_PROG_ID], attribute_u32(table[IFLA_XDP_SKB_PROG_ID], 0)));
}

static napi_value link_row(napi_env env, const struct nlmsghdr *header)
{
	const struct ifinfomsg *link = NLMSG_DATA(header);
	const struct rtattr *table[IFLA_XDP + 1];
	char text[128];
	napi_value row;

	if (header->nlmsg_type != RTM_NEWLINK || header->nlmsg_len < NLMSG_LENGTH(sizeof(*link)) ||
	    napi_create_object(env, &row) != napi_ok)
		return NULL;
	attributes_parse(IFLA_RTA(link), IFLA_PAYLOAD(header), table, IFLA_XDP);
	set_u32(env, row, "ifindex", link->ifi_index);
	set_text(env, row, "name", attribute_text(table[IFLA_IFNAME], text, sizeof(text)));
	set_kind(env, row, table[IFLA_LINKINFO]);
	set(env, row, "up", make_bool(env, link->ifi_flags & IFF_UP));
	set_u32(env, row, "flags", link->ifi_flags);
	set_u32(env, row, "mtu", attribute_u32(table[IFLA_MTU], 0));
	set_u32(env, row, "type", link->ifi_type);
	set_u32(env, row, "master", attribute_u32(table[IFLA_MASTER], 0));
	set_u32(env, row, "parent", attribute_u32(table[IFLA_LINK], 0));
	set(env, row, "linkNetnsid",
	    table[IFLA_LINK_NETNSID] ? make_u32(env, attribute_u32(table[IFLA_LINK_NETNSID], 0)) : undefined(env));
	set_text(env, row, "address", hardware_address(table[IFLA_ADDRESS], text, sizeof(text)));
	set_text(env, row, "qdisc", attribute_text(table[IFLA_QDISC], text, sizeof(text)));
	set_u32(env, row, "xdpProgram", xdp_program(table[IFLA_XDP]));
	return row;
}

napi_value net_links(napi_env env, napi_callback_info info)
{
	(void)info;
	return dump_submit(env, RTM_GETLINK, "RTM_GETLINK", link_row);
}
