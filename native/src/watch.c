/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/socket.h>
#include <unistd.h>
#include "netlink.h"

#define MESSAGE_SIZE (64 * 1024)

enum change { LINK, ADDRESS, ROUTE, OVERRUN, CHANGES };

static const char *const change_names[CHANGES] = {"link", "address", "route", "overrun"};

static void note(const struct nlmsghdr *header, bool *changed)
{
	switch (header->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
	case RTM_NEWQDISC:
	case RTM_DELQDISC:
		changed[LINK] = true;
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		changed[ADDRESS] = true;
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		changed[ROUTE] = true;
		break;
	}
}

/* Empties the socket. A lost message cannot say what it was about: that is the overrun. */
static void drain(int fd, uint8_t *buffer, bool *changed)
{
	for (;;) {
		ssize_t length = recv(fd, buffer, MESSAGE_SIZE, MSG_DONTWAIT | MSG_TRUNC);
		struct nlmsghdr *header = (struct nlmsghdr *)buffer;
		unsigned int rest;

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0 && errno != ENOBUFS)
			return;
		if (length < 0 || length > MESSAGE_SIZE) {
			changed[OVERRUN] = true;
			continue;
		}
		for (rest = length; NLMSG_OK(header, rest); header = NLMSG_NEXT(header, rest))
			note(header, changed);
	}
}

struct watch {
	int fd; /* the poller's */
	uint8_t buffer[MESSAGE_SIZE];
};

static void ready(napi_env env, struct poller *poller)
{
	struct watch *watch = poller_state(poller);
	bool changed[CHANGES] = {false};
	int i;

	drain(watch->fd, watch->buffer, changed);
	for (i = 0; i < CHANGES; i++)
		if (changed[i] && !poller_call(env, poller, make_text(env, change_names[i])))
			return;
}

napi_value watch_open(napi_env env, napi_callback_info info)
{
	static const struct poller_kind kind = {ready, free};
	struct sockaddr_nl address = {
	    .nl_family = AF_NETLINK,
	    .nl_groups = RTMGRP_LINK | RTMGRP_TC | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
	};
	struct watch *watch;
	napi_value callback;

	if (!get_arguments(env, info, 1, &callback) || !get_function(env, callback, "NetWatch: onChange", &callback))
		return NULL;
	watch = malloc(sizeof(*watch));
	if (!watch)
		return fail(env, ENOMEM, "watch_open", "netlink", NULL);
	watch->fd = netlink_open(NETLINK_ROUTE, SOCK_NONBLOCK);
	if (watch->fd < 0 || bind(watch->fd, (struct sockaddr *)&address, sizeof(address))) {
		int err = errno;

		if (watch->fd >= 0)
			close(watch->fd);
		free(watch);
		return fail(env, err, "watch_open", "netlink", NULL);
	}
	return poller_open(env, &kind, watch->fd, watch, callback, "netlink watch");
}
