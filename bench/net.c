// SPDX-License-Identifier: Apache-2.0
/*
 * The two ends of a measurement, both on one core, so that wall time is the cost of the whole path.
 *
 *   net serve CPU PORT…            echoes
 *   net client CPU                 obeys lines of standard input, answers each with a line of JSON:
 *       rr ADDRESS PORT SECONDS        one byte there and back over one connection, again and again
 *       connect ADDRESS PORT SECONDS   one byte there and back over a new connection, which is then reset (no TIME_WAIT).
 *                                      The byte is needed: otherwise the server accepts whenever it is scheduled, many at
 *                                      once, and the client's time has nothing of it
 *     → {"count":N,"errors":N,"errno":"…","p50":ns,"p90":ns}   per transaction, after 20 ms that do not count
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP_NS = 20 * 1000 * 1000, MOST_SAMPLES = 4 * 1000 * 1000, MOST_FDS = 1024 };

static void die(const char *what)
{
	fprintf(stderr, "net: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void pin(const char *cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(atoi(cpu), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- server ---- */

static char listens[MOST_FDS]; /* by fd */

static void watch(int poll, int fd, char is_listener)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd >= MOST_FDS || epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event))
		die("watch");
	listens[fd] = is_listener;
}

static int listener(int port)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, (void *)&address, sizeof(address)) || listen(fd, 512))
		die("listen");
	return fd;
}

static void serve_one(int poll, int fd)
{
	char bytes[4096];
	ssize_t got;
	int peer;

	if (!listens[fd]) {
		got = recv(fd, bytes, sizeof(bytes), 0);
		if (got <= 0 || send(fd, bytes, got, MSG_NOSIGNAL) < 0)
			close(fd);
		return;
	}
	peer = accept(fd, NULL, NULL);
	if (peer >= 0)
		watch(poll, peer, 0);
}

static void serve(char **ports)
{
	struct epoll_event events[64];
	int poll = epoll_create1(0);

	for (; *ports; ports++)
		watch(poll, listener(atoi(*ports)), 1);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(poll, events, 64, -1);

		for (int i = 0; i < count; i++)
			serve_one(poll, events[i].data.fd);
	}
}

/* ---- client ---- */

static uint32_t samples[MOST_SAMPLES];

struct target {
	struct sockaddr_storage address;
	socklen_t length;
};

static struct target parse_target(const char *address, int port)
{
	struct target target = {.length = sizeof(struct sockaddr_in)};
	struct sockaddr_in *v4 = (void *)&target.address;
	struct sockaddr_in6 *v6 = (void *)&target.address;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return target;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	target.length = sizeof(struct sockaddr_in6);
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
		die(address);
	return target;
}

static int dial(const struct target *target)
{
	struct timeval patience = {.tv_sec = 2};
	int fd = socket(target->address.ss_family, SOCK_STREAM, 0), one = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!connect(fd, (const void *)&target->address, target->length))
		return fd;
	close(fd);
	return -1;
}

static int exchange(int fd)
{
	char byte = 'x';
	ssize_t got;

	if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
		return errno;
	got = recv(fd, &byte, 1, 0);
	return got == 1 ? 0 : got == 0 ? EPIPE : errno;
}

/* One transaction; 0 or an errno. `fd` is the open connection of rr. */
static int transact(const struct target *target, int fd)
{
	struct linger reset = {.l_onoff = 1};
	int error;

	if (fd >= 0)
		return exchange(fd);
	fd = dial(target);
	if (fd < 0)
		return errno;
	error = exchange(fd);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	return error;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void measure(const char *kind, const char *address, int port, double seconds)
{
	struct target target = parse_target(address, port);
	int fd = -1, error = 0;
	uint64_t began = now(), last = began;
	unsigned int count = 0, errors = 0;

	if (!strcmp(kind, "rr") && (fd = dial(&target)) < 0) {
		printf("{\"count\":0,\"errors\":1,\"errno\":\"%s\",\"p50\":0,\"p90\":0}\n", strerrorname_np(errno));
		return;
	}
	while (last < began + WARM_UP_NS + (uint64_t)(seconds * 1e9) && errors < 3) {
		int failed = transact(&target, fd);
		uint64_t after = now();

		if (failed) {
			error = failed;
			errors++;
		} else if (last > began + WARM_UP_NS && count < MOST_SAMPLES) {
			samples[count++] = after - last;
		}
		last = after;
	}
	if (fd >= 0)
		close(fd);
	qsort(samples, count, sizeof(*samples), by_value);
	printf("{\"count\":%u,\"errors\":%u,\"errno\":\"%s\",\"p50\":%u,\"p90\":%u}\n", count, errors,
	       error ? strerrorname_np(error) : "", count ? samples[count / 2] : 0,
	       count ? samples[(uint64_t)count * 9 / 10] : 0);
}

static int client(void)
{
	char line[256], kind[16], address[64];
	double seconds;
	int port;

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%15s %63s %d %lf", kind, address, &port, &seconds) != 4)
			die(line);
		measure(kind, address, port, seconds);
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: net serve CPU PORT… | net client CPU\n");
		return 2;
	}
	pin(argv[2]);
	if (!strcmp(argv[1], "serve"))
		serve(argv + 3);
	return client();
}
