/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <unistd.h>
#include "netlink.h"

/* Own requests and not bpf_tc_*(): those give the filter a name of their own making, and do not read one. */

struct filter {
	struct task task;
	int fd;
	uint32_t ifindex;
	bool egress;
	uint32_t handle;
	uint32_t priority;
	int program; /* -1: query or detach */
	char name[256];
	bool found;
	uint32_t program_id;
};

static void release(struct task *task)
{
	struct filter *filter = (struct filter *)task;

	close(filter->fd);
	if (filter->program >= 0)
		close(filter->program);
}

static void fail_filter(struct filter *filter, int err, const char *call, const char *words)
{
	char device[IF_NAMESIZE], object[OBJECT_NAME];

	if (!if_indextoname(filter->ifindex, device))
		snprintf(device, sizeof(device), "%u", filter->ifindex);
	snprintf(object, sizeof(object), "device %s clsact %s", device, filter->egress ? "egress" : "ingress");
	failure_set(&filter->task.failure, err, call, object, words[0] ? "%s" : NULL, words);
}

static void start(struct filter *filter, struct request *request, uint16_t type, uint16_t flags)
{
	struct tcmsg body = {
	    .tcm_family = AF_UNSPEC,
	    .tcm_ifindex = filter->ifindex,
	    .tcm_parent = TC_H_MAKE(TC_H_CLSACT, filter->egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS),
	    .tcm_handle = filter->handle,
	    .tcm_info = TC_H_MAKE(filter->priority << 16, htons(ETH_P_ALL)),
	};

	request_start(request, type, flags, &body, sizeof(body));
	request_put_text(request, TCA_KIND, "bpf");
}

static int add_qdisc(struct filter *filter, char *words, size_t size)
{
	struct tcmsg body = {
	    .tcm_family = AF_UNSPEC,
	    .tcm_ifindex = filter->ifindex,
	    .tcm_parent = TC_H_CLSACT,
	    .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
	};
	struct request request;
	int err;

	request_start(&request, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	request_put_text(&request, TCA_KIND, "clsact");
	err = netlink_exchange(filter->fd, &request, NULL, words, size);
	return err == EEXIST ? 0 : err;
}

static void attach_run(struct task *task)
{
	struct filter *filter = (struct filter *)task;
	struct request request;
	struct rtattr *options;
	char words[256];
	int err;

	err = add_qdisc(filter, words, sizeof(words));
	if (err) {
		fail_filter(filter, err, "clsact_attach", words);
		return;
	}
	start(filter, &request, RTM_NEWTFILTER, NLM_F_CREATE); /* without NLM_F_EXCL: replaces */
	options = request_nest(&request, TCA_OPTIONS);
	request_put_u32(&request, TCA_BPF_FD, filter->program);
	request_put_text(&request, TCA_BPF_NAME, filter->name);
	request_put_u32(&request, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	request_unnest(&request, options);
	err = netlink_exchange(filter->fd, &request, NULL, words, sizeof(words));
	if (err)
		fail_filter(filter, err, "clsact_attach", words);
}

/* Without the qdisc the kernel calls the parent invalid; all else in these requests is fixed and right. */
static bool absent(int err)
{
	return err == ENOENT || err == EINVAL || err == ENODEV;
}

static void read_filter(struct filter *filter, const struct text *reply)
{
	const struct rtattr *table[TCA_OPTIONS + 1], *options[TCA_BPF_ID + 1];
	const struct nlmsghdr *header = (const struct nlmsghdr *)reply->data;
	const struct tcmsg *body = NLMSG_DATA(header);

	if (reply->length < NLMSG_LENGTH(sizeof(*body)) || header->nlmsg_type != RTM_NEWTFILTER)
		return;
	attributes_parse(TCA_RTA(body), TCA_PAYLOAD(header), table, TCA_OPTIONS);
	if (!table[TCA_OPTIONS])
		return;
	attributes_parse(RTA_DATA(table[TCA_OPTIONS]), RTA_PAYLOAD(table[TCA_OPTIONS]), options, TCA_BPF_ID);
	filter->found = true;
	filter->program_id = attribute_u32(options[TCA_BPF_ID], 0);
	attribute_text(options[TCA_BPF_NAME], filter->name, sizeof(filter->name));
}

static void query_run(struct task *task)
{
	struct filter *filter = (struct filter *)task;
	struct text reply = {0};
	struct request request;
	char words[256];
	int err;

	start(filter, &request, RTM_GETTFILTER, 0);
	err = netlink_exchange(filter->fd, &request, &reply, words, sizeof(words));
	if (!err)
		read_filter(filter, &reply);
	else if (!absent(err))
		fail_filter(filter, err, "clsact_query", words);
	text_free(&reply);
}

static void detach_run(struct task *task)
{
	struct filter *filter = (struct filter *)task;
	struct request request;
	char words[256];
	int err;

	start(filter, &request, RTM_DELTFILTER, 0);
	err = netlink_exchange(filter->fd, &request, NULL, words, sizeof(words));
	filter->found = !err;
	if (err && !absent(err))
		fail_filter(filter, err, "clsact_detach", words);
}

static napi_value query_result(napi_env env, struct task *task)
{
	struct filter *filter = (struct filter *)task;
	napi_value result;

	if (!filter->found)
		return undefined(env);
	if (napi_create_object(env, &result) != napi_ok)
		return NULL;
	set_u32(env, result, "programId", filter->program_id);
	set_text(env, result, "name", filter->name);
	return result;
}

static napi_value detach_result(napi_env env, struct task *task)
{
	return make_bool(env, ((struct filter *)task)->found);
}

/* A task with the slot that values[0..3] name. Handle 0 would mean "any" and priority 0 "choose one". */
static struct filter *make(napi_env env, napi_value *values, const char *call, void (*run)(struct task *))
{
	struct filter *filter = task_make(env, sizeof(*filter), run, release);

	if (!filter)
		return NULL;
	filter->program = -1;
	task_in_netns(&filter->task); /* the socket is there anyway, but a device's name is not */
	filter->fd = netlink_open(NETLINK_ROUTE, 0);
	if (filter->fd < 0) {
		fail(env, errno, call, "netlink", NULL);
	} else if (get_u32(env, values[0], "clsact: ifindex", &filter->ifindex) &&
		   get_bool(env, values[1], "clsact: egress", &filter->egress) &&
		   get_u32(env, values[2], "clsact: handle", &filter->handle) &&
		   get_u32(env, values[3], "clsact: priority", &filter->priority)) {
		if (filter->handle && filter->priority && filter->priority <= UINT16_MAX)
			return filter;
		fail(env, EINVAL, call, "filter", "needs a handle, and a priority from 1 to 65535");
	}
	task_drop(&filter->task);
	return NULL;
}

napi_value clsact_attach(napi_env env, napi_callback_info info)
{
	struct filter *filter;
	napi_value values[6];

	if (!get_arguments(env, info, 6, values))
		return NULL;
	filter = make(env, values, "clsact_attach", attach_run);
	if (!filter)
		return NULL;
	filter->program = handle_duplicate(env, values[4], HANDLE_PROGRAM, "clsact_attach");
	if (filter->program < 0 || !get_text(env, values[5], "clsact: name", filter->name, sizeof(filter->name))) {
		task_drop(&filter->task);
		return NULL;
	}
	return task_submit(env, &filter->task, "clsact_attach");
}

napi_value clsact_query(napi_env env, napi_callback_info info)
{
	struct filter *filter;
	napi_value values[4];

	if (!get_arguments(env, info, 4, values))
		return NULL;
	filter = make(env, values, "clsact_query", query_run);
	if (!filter)
		return NULL;
	filter->task.result = query_result;
	return task_submit(env, &filter->task, "clsact_query");
}

napi_value clsact_detach(napi_env env, napi_callback_info info)
{
	struct filter *filter;
	napi_value values[4];

	if (!get_arguments(env, info, 4, values))
		return NULL;
	filter = make(env, values, "clsact_detach", detach_run);
	if (!filter)
		return NULL;
	filter->task.result = detach_result;
	return task_submit(env, &filter->task, "clsact_detach");
}
