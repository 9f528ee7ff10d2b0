// SPDX-License-Identifier: Apache-2.0
/*
 * Numbered datagrams at a steady rate, and who counts them: not one may be missing.
 *
 *   flood receive PORT NETNS…    listens in each of these network namespaces (paths); prints 'ready'
 *   flood send ADDRESS PORT RATE connected|unconnected
 *
 * Either ends when its standard input does, and prints a line of JSON.
 *
 * The sender has STEADY sockets that it uses in turn, and one that it leaves for another every FLEETING datagrams, so that
 * flows begin all the time. Every REPLY_EVERYth datagram of a steady socket is answered.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	STEADY = 32,
	FLEETING = 10,
	REPLY_EVERY = 64,
	TICK_NS = 250 * 1000,
	MOST_AT_ONCE = 800, /* after a pause: a queue of the kernel holds 1000 */
	BUFFER = 64 << 20,
	BATCH = 64,
	MOST_SOCKETS = 16,
	MOST_GAPS = 20,
};
#define MOST_NUMBERS (1ull << 26)

struct datagram {
	uint64_t number;
	uint64_t wants_reply;
};

static void die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Memory for bursts that come while the process has no CPU. */
static void widen(int fd)
{
	int size = BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		die("SO_RCVBUFFORCE");
}

static bool input_ended(void)
{
	struct pollfd input = {.fd = 0, .events = POLLIN};
	char bytes[64];

	return poll(&input, 1, 0) > 0 && read(0, bytes, sizeof(bytes)) <= 0;
}

/* ---- receiver ---- */

static uint8_t seen[MOST_NUMBERS / 8];
static uint64_t received, duplicates, replies, highest;

static void note(uint64_t number)
{
	if (number >= MOST_NUMBERS)
		die("a number is too large");
	if (seen[number / 8] & 1 << number % 8)
		duplicates++;
	else
		received++;
	seen[number / 8] |= 1 << number % 8;
	if (number > highest)
		highest = number;
}

static int listen_in(const char *netns, int port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int there = open(netns, O_RDONLY), fd;

	if (there < 0 || setns(there, CLONE_NEWNET))
		die(netns);
	close(there);
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	if (fd < 0 || bind(fd, (void *)&any, sizeof(any)))
		die("bind");
	widen(fd);
	return fd;
}

static void take(int fd)
{
	static struct datagram data[BATCH];
	static struct sockaddr_in6 from[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH] = {};
	int count;

	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){&data[i], sizeof(data[i])};
		messages[i].msg_hdr = (struct msghdr){
		    .msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &parts[i], .msg_iovlen = 1};
	}
	count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++) {
		note(data[i].number);
		if (data[i].wants_reply && sendto(fd, &data[i], sizeof(data[i]), 0, (void *)&from[i],
						  messages[i].msg_hdr.msg_namelen) == sizeof(data[i]))
			replies++;
	}
}

/* [[first, last], …] of what is missing below the highest number. */
static void print_gaps(void)
{
	uint64_t gaps = 0;

	for (uint64_t i = 0; i < highest && gaps < MOST_GAPS; i++) {
		uint64_t first = i;

		while (i < highest && !(seen[i / 8] & 1 << i % 8))
			i++;
		if (i > first)
			printf("%s[%llu,%llu]", gaps++ ? "," : "", (unsigned long long)first,
			       (unsigned long long)i - 1);
	}
}

static int receive(int port, char **places)
{
	struct pollfd watched[MOST_SOCKETS + 1] = {{.fd = 0, .events = POLLIN}};
	int count = 1;

	for (; *places && count <= MOST_SOCKETS; places++)
		watched[count++] = (struct pollfd){.fd = listen_in(*places, port), .events = POLLIN};
	puts("ready");
	fflush(stdout);
	do {
		if (poll(watched, count, -1) < 0)
			die("poll");
		for (int i = 1; i < count; i++)
			if (watched[i].revents)
				take(watched[i].fd);
	} while (!watched[0].revents);
	printf("{\"received\":%llu,\"duplicates\":%llu,\"replies\":%llu,\"gaps\":[", (unsigned long long)received,
	       (unsigned long long)duplicates, (unsigned long long)replies);
	print_gaps();
	puts("]}");
	return 0;
}

/* ---- sender ---- */

static struct sockaddr_storage target;
static socklen_t target_length = sizeof(struct sockaddr_in);
static bool is_connected;
static uint64_t sent, asked, answered, errors;
static int last_error;

static void set_target(const char *address, int port)
{
	struct sockaddr_in *v4 = (void *)&target;
	struct sockaddr_in6 *v6 = (void *)&target;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	target_length = sizeof(*v6);
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
		die(address);
}

static int dial(void)
{
	int fd = socket(target.ss_family, SOCK_DGRAM, 0);

	if (fd < 0 || (is_connected && connect(fd, (void *)&target, target_length)))
		die("dial");
	return fd;
}

/* `count` datagrams over one socket; the first one asks for a reply, if any does. */
static void put(int fd, int count, bool wants_reply)
{
	static struct datagram data[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH] = {};
	int done = 0;

	for (int i = 0; i < count; i++) {
		data[i] = (struct datagram){sent + i, wants_reply && !i};
		parts[i] = (struct iovec){&data[i], sizeof(data[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
		if (!is_connected) {
			messages[i].msg_hdr.msg_name = &target;
			messages[i].msg_hdr.msg_namelen = target_length;
		}
	}
	asked += wants_reply;
	while (done < count) {
		int more = sendmmsg(fd, messages + done, count - done, 0);

		if (more < 0) { /* the one at hand is lost, or it was told of an earlier loss: neither may be */
			last_error = errno;
			errors++;
			more = 0;
		}
		done += more;
		if (errors > 1000)
			break;
	}
	sent += count;
}

/* Replies must come from whom was asked; those of strangers do not count. */
static void drain(int fd)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	struct datagram data;

	while (recvfrom(fd, &data, sizeof(data), MSG_DONTWAIT, (void *)&from, &length) == sizeof(data)) {
		size_t compared =
		    target.ss_family == AF_INET ? 8 : 24; /* family, port and address; the flow label is 0 */

		answered += !memcmp(&from, &target, compared);
		length = sizeof(from);
	}
}

static int send_all(double rate)
{
	int steady[STEADY], fleeting = dial(), since = 0;
	uint64_t began = now(), base = began, based = 0;

	for (int i = 0; i < STEADY; i++) {
		steady[i] = dial();
		widen(steady[i]);
	}
	for (unsigned int turn = 0; !input_ended(); turn++) {
		uint64_t due = based + (uint64_t)((now() - base) * rate / 1e9);

		if (due > sent + MOST_AT_ONCE) { /* what was missed by a pause is not made up for */
			base = now();
			based = due = sent + MOST_AT_ONCE;
		}
		while (sent < due && errors <= 1000) {
			int count = due - sent < BATCH ? due - sent : BATCH;
			int fd = steady[turn++ % STEADY];

			put(fd, count, sent % REPLY_EVERY < (uint64_t)count);
			drain(fd);
			put(fleeting, 1, false);
			if (++since == FLEETING) {
				close(fleeting);
				fleeting = dial();
				since = 0;
			}
		}
		clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = TICK_NS}, NULL);
	}
	double seconds = (now() - began) / 1e9;

	usleep(300 * 1000);
	for (int i = 0; i < STEADY; i++)
		drain(steady[i]);
	printf("{\"sent\":%llu,\"asked\":%llu,\"answered\":%llu,\"errors\":%llu,\"errno\":\"%s\",\"seconds\":%f}\n",
	       (unsigned long long)sent, (unsigned long long)asked, (unsigned long long)answered,
	       (unsigned long long)errors, last_error ? strerrorname_np(last_error) : "", seconds);
	return 0;
}

int main(int argc, char **argv)
{
	if (setpriority(PRIO_PROCESS, 0, -15)) /* a rate is steady only beside those that are nicer */
		die("setpriority");
	if (argc > 3 && !strcmp(argv[1], "receive"))
		return receive(atoi(argv[2]), argv + 3);
	if (argc == 6 && !strcmp(argv[1], "send")) {
		set_target(argv[2], atoi(argv[3]));
		is_connected = !strcmp(argv[5], "connected");
		return send_all(atof(argv[4]));
	}
	fprintf(stderr, "usage: flood receive PORT NETNS… | flood send ADDRESS PORT RATE connected|unconnected\n");
	return 2;
}
