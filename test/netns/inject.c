// SPDX-License-Identifier: Apache-2.0
/*
 * Sends frames as they stand, whatever they hold: what a raw sender in a pod, or a machine outside, can do.
 *
 *   inject DEVICE          reads frames from standard input, a line of hex digits each
 *   inject DEVICE COUNT    reads one, TCP over IPv4 without options, and sends it so many times, each from another source
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

enum {
	IP_CHECK = 24,
	IP_SOURCE_LOW = 28,
	TCP_SOURCE_PORT = 34,
	TCP_CHECK = 50,
};

static unsigned int word_at(int offset)
{
	return frame[offset] << 8 | frame[offset + 1];
}

static void put_word(int offset, unsigned int word)
{
	frame[offset] = word >> 8;
	frame[offset + 1] = word;
}

/* RFC 1624: the checksum follows a word that changes. */
static void follow(int checksum, unsigned int old, unsigned int new)
{
	unsigned int sum = (~word_at(checksum) & 0xffff) + (~old & 0xffff) + new;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	put_word(checksum, ~sum & 0xffff);
}

/* The n-th source: ports first, then addresses. */
static void set_source(unsigned int n)
{
	unsigned int address = n / 60000, port = 1024 + n % 60000;

	follow(IP_CHECK, word_at(IP_SOURCE_LOW), address);
	follow(TCP_CHECK, word_at(IP_SOURCE_LOW), address);
	follow(TCP_CHECK, word_at(TCP_SOURCE_PORT), port);
	put_word(IP_SOURCE_LOW, address);
	put_word(TCP_SOURCE_PORT, port);
}

int main(int argc, char **argv)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET};
	int socket_fd = socket(AF_PACKET, SOCK_RAW, 0);
	unsigned int count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;

	if (argc < 2 || argc > 3 || socket_fd < 0) {
		fprintf(stderr, "usage: inject DEVICE [COUNT] (%s)\n", strerror(errno));
		return 2;
	}
	to.sll_ifindex = if_nametoindex(argv[1]);
	while (fgets(line, sizeof(line), stdin)) {
		size_t length = strcspn(line, "\n") / 2;

		for (size_t i = 0; i < length; i++) {
			char byte[3] = {line[2 * i], line[2 * i + 1], 0};

			frame[i] = strtoul(byte, NULL, 16);
		}
		for (unsigned int n = 0; n < count; n++) {
			set_source(n);
			while (sendto(socket_fd, frame, length, 0, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)length) {
				if (errno != ENOBUFS)
					return 1;
			}
		}
		if (!count && sendto(socket_fd, frame, length, 0, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)length) {
			fprintf(stderr, "inject %s: %s\n", argv[1], strerror(errno));
			return 1;
		}
	}
	return 0;
}
