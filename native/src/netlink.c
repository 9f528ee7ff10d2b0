/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>
#include "netlink.h"

#define RECEIVE_SIZE (256 * 1024) /* the kernel fills at most 32 KiB at once, and never splits a message */
#define SOCKET_BUFFER (1024 * 1024)
#define DUMP_TRIES 64

void request_start(struct request *request, uint16_t type, uint16_t flags, const void *body, size_t size)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | flags;
	request->header.nlmsg_len = NLMSG_LENGTH(size);
	memcpy(request->body, body, size);
}

void request_put(struct request *request, uint16_t type, const void *data, size_t size)
{
	size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
	struct rtattr *attribute = (struct rtattr *)((uint8_t *)request + at);

	/* All that is put is small and bounded by its caller: this cannot happen. */
	if (at + RTA_SPACE(size) > sizeof(*request))
		abort();
	attribute->rta_type = type;
	attribute->rta_len = RTA_LENGTH(size);
	if (size)
		memcpy(RTA_DATA(attribute), data, size);
	request->header.nlmsg_len = at + RTA_SPACE(size);
}

void request_put_u32(struct request *request, uint16_t type, uint32_t number)
{
	request_put(request, type, &number, sizeof(number));
}

void request_put_text(struct request *request, uint16_t type, const char *text)
{
	request_put(request, type, text, strlen(text) + 1);
}

struct rtattr *request_nest(struct request *request, uint16_t type)
{
	struct rtattr *nest = (struct rtattr *)((uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len));

	request_put(request, type, NULL, 0);
	return nest;
}

void request_unnest(struct request *request, struct rtattr *nest)
{
	nest->rta_len = (uint8_t *)request + request->header.nlmsg_len - (uint8_t *)nest;
}

int netlink_open(int protocol, int flags)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, protocol);
	int one = 1, size = SOCKET_BUFFER;

	if (fd < 0)
		return -1;
	/* Comforts: older kernels and unprivileged callers go without. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static void copy_words(const struct nlmsghdr *header, char *words, size_t size)
{
	const struct nlmsgerr *error = NLMSG_DATA(header);
	const struct rtattr *table[NLMSGERR_ATTR_MSG + 1], *first;
	size_t skip = NLMSG_LENGTH(sizeof(*error));

	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(error->msg.nlmsg_len) - sizeof(error->msg);
	if (skip >= header->nlmsg_len)
		return;
	first = (const struct rtattr *)((const uint8_t *)header + skip);
	attributes_parse(first, header->nlmsg_len - skip, table, NLMSGERR_ATTR_MSG);
	attribute_text(table[NLMSGERR_ATTR_MSG], words, size);
}

struct exchange {
	int fd;
	uint32_t sequence;
	bool dump;
	uint8_t *buffer;
	struct text *reply;
	char *words;
	size_t words_size;
	bool interrupted;
	bool finished;
};

/* Errno of what one message says; sets `finished` with the last. */
static int take(struct exchange *exchange, const struct nlmsghdr *header)
{
	if (header->nlmsg_seq != exchange->sequence)
		return 0; /* left over from a dump that was given up */
	if (header->nlmsg_flags & NLM_F_DUMP_INTR)
		exchange->interrupted = true;
	if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) {
		exchange->finished = true;
		if (header->nlmsg_len < NLMSG_LENGTH(sizeof(int)))
			return 0;
		if (header->nlmsg_type == NLMSG_ERROR)
			copy_words(header, exchange->words, exchange->words_size);
		return -*(const int *)NLMSG_DATA(header);
	}
	if (header->nlmsg_type >= NLMSG_MIN_TYPE && exchange->reply)
		text_add(exchange->reply, header, NLMSG_ALIGN(header->nlmsg_len));
	return 0;
}

static int receive(struct exchange *exchange)
{
	struct nlmsghdr *header = (struct nlmsghdr *)exchange->buffer;
	ssize_t length = recv(exchange->fd, exchange->buffer, RECEIVE_SIZE, MSG_TRUNC);
	unsigned int rest;
	int err;

	if (length < 0)
		return errno == EINTR ? 0 : errno;
	if (length > RECEIVE_SIZE)
		return EMSGSIZE;
	for (rest = length; NLMSG_OK(header, rest); header = NLMSG_NEXT(header, rest)) {
		err = take(exchange, header);
		if (err || exchange->finished)
			return err;
	}
	return 0;
}

static int exchange_once(struct exchange *exchange, struct request *request)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int err = 0;

	request->header.nlmsg_seq = ++exchange->sequence;
	exchange->finished = exchange->interrupted = false;
	if (exchange->reply)
		exchange->reply->length = 0;
	if (sendto(exchange->fd, request, request->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return errno;
	while (!err && !exchange->finished)
		err = receive(exchange);
	if (!err && exchange->reply && exchange->reply->failed)
		err = ENOMEM;
	return err;
}

int netlink_exchange(int fd, struct request *request, struct text *reply, char *words, size_t words_size)
{
	struct exchange exchange = {.fd = fd, .reply = reply, .words = words, .words_size = words_size};
	int tries, err;

	words[0] = '\0';
	exchange.dump = (request->header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	if (!exchange.dump)
		request->header.nlmsg_flags |= NLM_F_ACK;
	exchange.buffer = malloc(RECEIVE_SIZE);
	if (!exchange.buffer)
		return ENOMEM;
	for (tries = 0; tries < DUMP_TRIES; tries++) {
		err = exchange_once(&exchange, request);
		if (err || !exchange.interrupted)
			break;
	}
	if (!err && exchange.interrupted) {
		snprintf(words, words_size, "changed %d times while it was read", DUMP_TRIES);
		err = EINTR;
	}
	free(exchange.buffer);
	return err;
}

void attributes_parse(const struct rtattr *first, size_t length, const struct rtattr **table, unsigned int max)
{
	const struct rtattr *attribute = first;
	unsigned int rest = length, type;

	memset(table, 0, (max + 1) * sizeof(*table));
	for (; RTA_OK(attribute, rest); attribute = RTA_NEXT(attribute, rest)) {
		type = attribute->rta_type & NLA_TYPE_MASK;
		if (type <= max)
			table[type] = attribute;
	}
}

uint32_t attribute_u32(const struct rtattr *attribute, uint32_t missing)
{
	uint32_t number;

	if (!attribute || RTA_PAYLOAD(attribute) < sizeof(number))
		return missing;
	memcpy(&number, RTA_DATA(attribute), sizeof(number));
	return number;
}

const char *attribute_text(const struct rtattr *attribute, char *text, size_t size)
{
	size_t length = attribute ? RTA_PAYLOAD(attribute) : 0;

	if (length >= size)
		length = size - 1;
	if (length)
		memcpy(text, RTA_DATA(attribute), length);
	text[length] = '\0';
	return text;
}

const char *attribute_address(const struct rtattr *attribute, char *text, size_t size)
{
	size_t length = attribute ? RTA_PAYLOAD(attribute) : 0;

	text[0] = '\0';
	if (length == 4)
		inet_ntop(AF_INET, RTA_DATA(attribute), text, size);
	else if (length == 16)
		inet_ntop(AF_INET6, RTA_DATA(attribute), text, size);
	return text;
}
