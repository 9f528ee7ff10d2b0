/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* netlink.c: requests and dumps over netlink. A socket belongs to the network namespace it was opened in. */
#include "addon.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

/* ---- messages being written ---- */

struct request {
	struct nlmsghdr header;
	uint8_t body[1024];
};

void request_start(struct request *request, uint16_t type, uint16_t flags, const void *body, size_t size);
void request_put(struct request *request, uint16_t type, const void *data, size_t size);
void request_put_u32(struct request *request, uint16_t type, uint32_t number);
void request_put_text(struct request *request, uint16_t type, const char *text);
struct rtattr *request_nest(struct request *request, uint16_t type);
void request_unnest(struct request *request, struct rtattr *nest);

/* ---- exchanges; they return errno ---- */

int netlink_open(int protocol, int flags); /* NETLINK_..., SOCK_...; -1 and errno */
/*
 * Sends the request and waits for its answer: to NLM_F_DUMP all parts are added to `reply`, begun anew when the kernel
 * says that they do not fit together, to others the answer, if there is one besides the acknowledgement. `words` gets
 * what the kernel says about a refusal, or is made empty.
 */
int netlink_exchange(int fd, struct request *request, struct text *reply, char *words, size_t words_size);

/* ---- messages being read ---- */

/* Attributes by type; those above `max` are skipped. */
void attributes_parse(const struct rtattr *first, size_t length, const struct rtattr **table, unsigned int max);
uint32_t attribute_u32(const struct rtattr *attribute, uint32_t missing);
/* Text, '' if it is missing; always NUL terminated. */
const char *attribute_text(const struct rtattr *attribute, char *text, size_t size);
/* An address of 4 or 16 bytes, '' if it is missing or none. */
const char *attribute_address(const struct rtattr *attribute, char *text, size_t size);

/* ---- dump.c: a whole table as an array of objects, whose shapes are in netlink.ts ---- */

/* Both are promises. `row` makes the object of one message, or NULL to leave it out. */
typedef napi_value (*dump_row)(napi_env env, const struct nlmsghdr *header);
napi_value dump_submit(napi_env env, uint16_t type, const char *call, dump_row row); /* RTM_GET... of all families */
napi_value dump_request(napi_env env, int protocol, const struct request *request, const char *call, dump_row row);
