/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>
#include "netlink.h"

static void append_u32(napi_env env, napi_value list, uint32_t *count, uint32_t number)
{
	napi_value value = make_u32(env, number);

	if (value)
		napi_set_element(env, list, (*count)++, value);
}

/* RTA_VIA is a gateway of the other family: two bytes of family, then the address. */
static const char *gateway(const struct rtattr *direct, const struct rtattr *via, char *text, size_t size)
{
	struct {
		struct rtattr header;
		uint8_t address[16];
	} copy = {.header.rta_len = 0};
	size_t length;

	if (!via || RTA_PAYLOAD(via) < 2 + 4 || RTA_PAYLOAD(via) > 2 + sizeof(copy.address))
		return attribute_address(direct, text, size);
	length = RTA_PAYLOAD(via) - 2;
	copy.header.rta_len = RTA_LENGTH(length);
	memcpy(copy.address, (const uint8_t *)RTA_DATA(via) + 2, length);
	return attribute_address(&copy.header, text, size);
}

struct nexthops {
	napi_value list;
	uint32_t count;
	uint32_t first;
	char gateway[64]; /* of the first */
};

static void add_multipath(napi_env env, const struct rtattr *multipath, struct nexthops *hops)
{
	const struct rtnexthop *hop = RTA_DATA(multipath);
	const struct rtattr *table[RTA_VIA + 1];
	int rest = RTA_PAYLOAD(multipath);

	while (rest >= (int)sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= rest) {
		if (hops->count == 0) {
			attributes_parse(RTNH_DATA(hop), hop->rtnh_len - sizeof(*hop), table, RTA_VIA);
			gateway(table[RTA_GATEWAY], table[RTA_VIA], hops->gateway, sizeof(hops->gateway));
			hops->first = hop->rtnh_ifindex;
		}
		append_u32(env, hops->list, &hops->count, hop->rtnh_ifindex);
		rest -= RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
}

static void add_hops(napi_env env, const struct rtattr **table, struct nexthops *hops)
{
	uint32_t ifindex = attribute_u32(table[RTA_OIF], 0);

	if (table[RTA_MULTIPATH]) {
		add_multipath(env, table[RTA_MULTIPATH], hops);
		return;
	}
	gateway(table[RTA_GATEWAY], table[RTA_VIA], hops->gateway, sizeof(hops->gateway));
	hops->first = ifindex;
	if (ifindex)
		append_u32(env, hops->list, &hops->count, ifindex);
}

static void set_optional(napi_env env, napi_value row, const char *name, const char *text)
{
	set(env, row, name, text[0] ? make_text(env, text) : undefined(env));
}

/* 0: none that concerns all packets of the route */
static uint32_t metric_u32(const struct rtattr *metrics, int wanted)
{
	const struct rtattr *table[RTAX_MTU + 1];

	if (!metrics)
		return 0;
	attributes_parse(RTA_DATA(metrics), RTA_PAYLOAD(metrics), table, RTAX_MTU);
	return attribute_u32(table[wanted], 0);
}

static napi_value route_row(napi_env env, const struct nlmsghdr *header)
{
	const struct rtmsg *route = NLMSG_DATA(header);
	const struct rtattr *table[RTA_VIA + 1];
	struct nexthops hops = {0};
	char text[64];
	napi_value row;

	if (header->nlmsg_type != RTM_NEWROUTE || header->nlmsg_len < NLMSG_LENGTH(sizeof(*route)) ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) || (route->rtm_flags & RTM_F_CLONED) ||
	    napi_create_object(env, &row) != napi_ok || napi_create_array(env, &hops.list) != napi_ok)
		return NULL;
	attributes_parse(RTM_RTA(route), RTM_PAYLOAD(header), table, RTA_VIA);
	add_hops(env, table, &hops);
	set_u32(env, row, "family", route->rtm_family == AF_INET ? 4 : 6);
	set_text(env, row, "destination", attribute_address(table[RTA_DST], text, sizeof(text)));
	set_u32(env, row, "prefixLength", route->rtm_dst_len);
	set_u32(env, row, "ifindex", hops.first);
	set(env, row, "ifindexes", hops.list);
	set_optional(env, row, "gateway", hops.gateway);
	set_optional(env, row, "source", attribute_address(table[RTA_PREFSRC], text, sizeof(text)));
	set_u32(env, row, "table", attribute_u32(table[RTA_TABLE], route->rtm_table));
	set_u32(env, row, "type", route->rtm_type);
	set_u32(env, row, "protocol", route->rtm_protocol);
	set_u32(env, row, "scope", route->rtm_scope);
	set_u32(env, row, "priority", attribute_u32(table[RTA_PRIORITY], 0));
	set_u32(env, row, "mtu", metric_u32(table[RTA_METRICS], RTAX_MTU));
	set(env, row, "mtuLocked", make_bool(env, (metric_u32(table[RTA_METRICS], RTAX_LOCK) & (1 << RTAX_MTU)) != 0));
	return row;
}

napi_value net_routes(napi_env env, napi_callback_info info)
{
	(void)info;
	return dump_submit(env, RTM_GETROUTE, "RTM_GETROUTE", route_row);
}
