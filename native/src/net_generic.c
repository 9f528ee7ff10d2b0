/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/genetlink.h>
#include "netlink.h"

/* linux/netdev.h, of kernel 6.3: not every build machine has it */
enum { NETDEV_CMD_DEV_GET = 1, NETDEV_A_DEV_IFINDEX = 1, NETDEV_A_DEV_XDP_FEATURES = 3 };

static bool message_parse(const struct nlmsghdr *header, const struct rtattr **table, unsigned int max)
{
	const struct genlmsghdr *message = NLMSG_DATA(header);

	if (header->nlmsg_len < NLMSG_LENGTH(GENL_HDRLEN))
		return false;
	attributes_parse((const struct rtattr *)((const uint8_t *)message + GENL_HDRLEN),
			 header->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN), table, max);
	return true;
}

static napi_value family_row(napi_env env, const struct nlmsghdr *header)
{
	const struct rtattr *table[CTRL_ATTR_FAMILY_ID + 1];
	uint16_t id;

	if (!message_parse(header, table, CTRL_ATTR_FAMILY_ID) || !table[CTRL_ATTR_FAMILY_ID] ||
	    RTA_PAYLOAD(table[CTRL_ATTR_FAMILY_ID]) < sizeof(id))
		return NULL;
	memcpy(&id, RTA_DATA(table[CTRL_ATTR_FAMILY_ID]), sizeof(id));
	return make_u32(env, id);
}

/* name; the ids of generic netlink families of that name: one. ENOENT: the kernel has none. */
napi_value generic_family(napi_env env, napi_callback_info info)
{
	struct genlmsghdr message = {.cmd = CTRL_CMD_GETFAMILY, .version = 1};
	struct request request;
	napi_value name;
	char text[64];

	if (!get_arguments(env, info, 1, &name) || !get_text(env, name, "genericFamily: name", text, sizeof(text)))
		return NULL;
	request_start(&request, GENL_ID_CTRL, 0, &message, sizeof(message));
	request_put_text(&request, CTRL_ATTR_FAMILY_NAME, text);
	return dump_request(env, NETLINK_GENERIC, &request, "CTRL_CMD_GETFAMILY", family_row);
}

static napi_value device_row(napi_env env, const struct nlmsghdr *header)
{
	const struct rtattr *table[NETDEV_A_DEV_XDP_FEATURES + 1];
	napi_value row;

	/* the features are 64 bits, of which the kernel uses the lowest few */
	if (!message_parse(header, table, NETDEV_A_DEV_XDP_FEATURES) || napi_create_object(env, &row) != napi_ok)
		return NULL;
	set_u32(env, row, "ifindex", attribute_u32(table[NETDEV_A_DEV_IFINDEX], 0));
	set_u32(env, row, "features", attribute_u32(table[NETDEV_A_DEV_XDP_FEATURES], 0));
	return row;
}

/* id of the family 'netdev' */
napi_value xdp_features(napi_env env, napi_callback_info info)
{
	struct genlmsghdr message = {.cmd = NETDEV_CMD_DEV_GET, .version = 1};
	struct request request;
	napi_value family;
	uint32_t id;

	if (!get_arguments(env, info, 1, &family) || !get_u32(env, family, "xdpFeatures: family", &id))
		return NULL;
	request_start(&request, id, NLM_F_DUMP, &message, sizeof(message));
	return dump_request(env, NETLINK_GENERIC, &request, "NETDEV_CMD_DEV_GET", device_row);
}
