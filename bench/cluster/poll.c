// SPDX-License-Identifier: Apache-2.0
/*
 * When does an address begin, and when does it cease, to answer?
 *
 *   poll ADDRESS PORT LISTEN-ADDRESS LISTEN-PORT
 *
 * Listens as a backend, and connects to the address again and again, half a millisecond apart. Prints a line at the first
 * answer and whenever it is another one: "1 NS" a connection, "0 NS" none, with CLOCK_MONOTONIC of the moment.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { PAUSE_NS = 500 * 1000, PATIENCE_MS = 20 };

static void die(const char *what)
{
	fprintf(stderr, "poll: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in place(const char *address, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		die(address);
	return to;
}

static void serve(struct sockaddr_in at)
{
	int on = 1;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 512))
		die("listen");
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0)
			close(fd);
	}
}

static int answers(struct sockaddr_in to)
{
	struct linger reset = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t size = sizeof(error);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		error = errno;
	if (error == EINPROGRESS) {
		if (poll(&wait, 1, PATIENCE_MS) == 1)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
		else
			error = ETIMEDOUT;
	}
	close(fd);
	return error == 0;
}

int main(int argc, char **argv)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	int last = -1;

	if (argc != 5)
		return 2;
	if (fork() == 0)
		serve(place(argv[3], argv[4]));
	for (;;) {
		int now = answers(place(argv[1], argv[2]));
		struct timespec t;

		if (now != last) {
			clock_gettime(CLOCK_MONOTONIC, &t);
			printf("%d %llu\n", now, (unsigned long long)t.tv_sec * 1000000000 + t.tv_nsec);
			fflush(stdout);
			last = now;
		}
		nanosleep(&pause, NULL);
	}
}
