// SPDX-License-Identifier: Apache-2.0
/*
 * A tunnel between two network namespaces, of devices without a link header: tun devices, and this program is what is
 * between them.
 *
 *   cable NAMESPACE NAMESPACE DEVICE    makes DEVICE in both, prints 'ready', and carries packets until it is killed
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int open_end(const char *namespace, const char *device)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	char path[300];
	int netns, tun;

	snprintf(path, sizeof(path), "/run/netns/%s", namespace);
	strncpy(request.ifr_name, device, IFNAMSIZ - 1);
	netns = open(path, O_RDONLY);
	if (netns < 0 || setns(netns, CLONE_NEWNET) || (tun = open("/dev/net/tun", O_RDWR)) < 0 ||
	    ioctl(tun, TUNSETIFF, &request)) {
		perror(path);
		exit(1);
	}
	close(netns);
	return tun;
}

int main(int argc, char **argv)
{
	static char packet[70000];
	struct pollfd ends[2];

	if (argc != 4) {
		fprintf(stderr, "usage: cable NAMESPACE NAMESPACE DEVICE\n");
		return 2;
	}
	for (int i = 0; i < 2; i++)
		ends[i] = (struct pollfd){.fd = open_end(argv[i + 1], argv[3]), .events = POLLIN};
	puts("ready");
	fflush(stdout);
	while (poll(ends, 2, -1) > 0)
		for (int i = 0; i < 2; i++) {
			ssize_t length;

			if (!(ends[i].revents & POLLIN))
				continue;
			length = read(ends[i].fd, packet, sizeof(packet));
			/* a device that is down for a moment loses packets, as a wire does */
			if (length > 0 && write(ends[!i].fd, packet, length) < 0)
				continue;
		}
	return 0;
}
