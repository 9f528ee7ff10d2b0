// SPDX-License-Identifier: Apache-2.0
/*
 * Sends frames as they stand, whatever they hold: what a raw sender in a pod, or a machine outside, can do.
 *
 *   inject DEVICE    reads frames from standard input, a line of hex digits each
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static unsigned char frame[70000];
static char line[2 * sizeof(frame) + 2];

int main(int argc, char **argv)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET};
	int socket_fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (argc != 2 || socket_fd < 0) {
		fprintf(stderr, "usage: inject DEVICE (%s)\n", strerror(errno));
		return 2;
	}
	to.sll_ifindex = if_nametoindex(argv[1]);
	while (fgets(line, sizeof(line), stdin)) {
		size_t length = strcspn(line, "\n") / 2;

		for (size_t i = 0; i < length; i++) {
			char byte[3] = {line[2 * i], line[2 * i + 1], 0};

			frame[i] = strtoul(byte, NULL, 16);
		}
		if (sendto(socket_fd, frame, length, 0, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)length) {
			fprintf(stderr, "inject %s: %s\n", argv[1], strerror(errno));
			return 1;
		}
	}
	return 0;
}
