/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/if.h>
#include <unistd.h>
#include "netlink.h"

/* The tables of the network stack as arrays of objects; the shapes are in netlink.ts. */

#define SKIP_STATS (1 << 3) /* RTEXT_FILTER_SKIP_STATS: more than half of a link's message */

struct dump {
	struct task task;
	int fd;
	uint16_t type;
	const char *call;
	struct text replies[2]; /* one per family asked for */
	napi_value (*row)(napi_env env, const struct nlmsghdr *header);
};

static void release(struct task *task)
{
	struct dump *dump = (struct dump *)task;

	close(dump->fd);
	text_free(&dump->replies[0]);
	text_free(&dump->replies[1]);
}

static int ask(struct dump *dump, uint8_t family, struct text *reply, char *words, size_t size)
{
	/* Each kind of request begins with the family; the longest is this. */
	struct ifinfomsg body = {.ifi_family = family};
	struct rtmsg route = {.rtm_family = family};
	struct ifaddrmsg address = {.ifa_family = family};
	struct request request;

	if (dump->type == RTM_GETLINK)
		request_start(&request, dump->type, NLM_F_DUMP, &body, sizeof(body));
	else if (dump->type == RTM_GETADDR)
		request_start(&request, dump->type, NLM_F_DUMP, &address, sizeof(address));
	else
		request_start(&request, dump->type, NLM_F_DUMP, &route, sizeof(route));
	if (dump->type == RTM_GETLINK)
		request_put_u32(&request, IFLA_EXT_MASK, SKIP_STATS);
	return netlink_exchange(dump->fd, &request, reply, words, size);
}

static void run(struct task *task)
{
	struct dump *dump = (struct dump *)task;
	char words[256];
	int err;

	if (dump->type == RTM_GETLINK) {
		err = ask(dump, AF_UNSPEC, &dump->replies[0], words, sizeof(words));
	} else {
		err = ask(dump, AF_INET, &dump->replies[0], words, sizeof(words));
		/* A kernel booted without IPv6 has no such table. */
		if (!err)
			err = ask(dump, AF_INET6, &dump->replies[1], words, sizeof(words));
		if (err == EOPNOTSUPP && dump->replies[1].length == 0)
			err = 0;
	}
	if (err)
		failure_set(&task->failure, err, "netlink", dump->call, words[0] ? "%s" : NULL, words);
}

static bool add_rows(napi_env env, const struct dump *dump, const struct text *reply, napi_value list, uint32_t *count)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)reply->data;
	unsigned int rest = reply->length;

	for (; rest && NLMSG_OK(header, rest); header = NLMSG_NEXT(header, rest)) {
		napi_handle_scope scope;
		napi_value row;
		bool bad;

		if (napi_open_handle_scope(env, &scope) != napi_ok)
			return false;
		row = dump->row(env, header);
		bad = row && napi_set_element(env, list, (*count)++, row) != napi_ok;
		napi_close_handle_scope(env, scope);
		if (bad)
			return false;
	}
	return true;
}

static napi_value result(napi_env env, struct task *task)
{
	struct dump *dump = (struct dump *)task;
	uint32_t count = 0;
	napi_value list;

	if (napi_create_array(env, &list) != napi_ok || !add_rows(env, dump, &dump->replies[0], list, &count) ||
	    !add_rows(env, dump, &dump->replies[1], list, &count))
		return NULL;
	return list;
}

/* The socket is opened here, in the caller's network namespace, and only used in the worker. */
static napi_value submit(napi_env env, uint16_t type, const char *call,
			 napi_value (*row)(napi_env env, const struct nlmsghdr *header))
{
	int fd = netlink_open(0);
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
	dump->type = type;
	dump->call = call;
	dump->row = row;
	return task_submit(env, &dump->task, call);
}

/* ---- links ---- */

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

static napi_value link_row(napi_env env, const struct nlmsghdr *header)
{
	const struct ifinfomsg *link = NLMSG_DATA(header);
	const struct rtattr *table[IFLA_LINK_NETNSID + 1];
	char text[128];
	napi_value row;

	if (header->nlmsg_type != RTM_NEWLINK || header->nlmsg_len < NLMSG_LENGTH(sizeof(*link)) ||
	    napi_create_object(env, &row) != napi_ok)
		return NULL;
	attributes_parse(IFLA_RTA(link), IFLA_PAYLOAD(header), table, IFLA_LINK_NETNSID);
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
	return row;
}

napi_value net_links(napi_env env, napi_callback_info info)
{
	(void)info;
	return submit(env, RTM_GETLINK, "RTM_GETLINK", link_row);
}

/* ---- addresses ---- */

static napi_value address_row(napi_env env, const struct nlmsghdr *header)
{
	const struct ifaddrmsg *address = NLMSG_DATA(header);
	const struct rtattr *table[IFA_FLAGS + 1];
	char text[64];
	napi_value row;

	if (header->nlmsg_type != RTM_NEWADDR || header->nlmsg_len < NLMSG_LENGTH(sizeof(*address)) ||
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
	return submit(env, RTM_GETADDR, "RTM_GETADDR", address_row);
}

/* ---- routes ---- */

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

static napi_value route_row(napi_env env, const struct nlmsghdr *header)
{
	const struct rtmsg *route = NLMSG_DATA(header);
	const struct rtattr *table[RTA_VIA + 1];
	struct nexthops hops = {0};
	char text[64];
	napi_value row;

	if (header->nlmsg_type != RTM_NEWROUTE || header->nlmsg_len < NLMSG_LENGTH(sizeof(*route)) ||
	    (route->rtm_flags & RTM_F_CLONED) || napi_create_object(env, &row) != napi_ok ||
	    napi_create_array(env, &hops.list) != napi_ok)
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
	return row;
}

napi_value net_routes(napi_env env, napi_callback_info info)
{
	(void)info;
	return submit(env, RTM_GETROUTE, "RTM_GETROUTE", route_row);
}
