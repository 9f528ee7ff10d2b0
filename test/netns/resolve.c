/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve NAME COUNT PAUSE_MS: asks the C library's resolver again and again, for both families at once as programs do,
 * and prints 'ASKED FAILED SLOWEST_MS LAST_ERROR'.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
	const char *last = "none";
	double slowest = 0;
	int i, failed = 0;

	if (argc != 4)
		return 2;
	for (i = 0; i < atoi(argv[2]); i++) {
		struct timespec pause = {.tv_nsec = atoi(argv[3]) * 1000000L};
		double began = milliseconds(), took;
		int error = getaddrinfo(argv[1], "80", &hints, &found);

		took = milliseconds() - began;
		if (took > slowest)
			slowest = took;
		if (error) {
			failed++;
			last = gai_strerror(error);
		} else {
			freeaddrinfo(found);
		}
		nanosleep(&pause, NULL);
	}
	printf("%d %d %.0f %s\n", i, failed, slowest, last);
	return 0;
}
