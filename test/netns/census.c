// SPDX-License-Identifier: Apache-2.0
/*
 * What of these the kernel still has, asked by its own numbers and through nobody's library:
 *
 *   census [tcx IFINDEX]… [cgroup DIRECTORY]… [program ID]… [map ID]… [link ID]…
 *
 * Prints a line for each thing found: 'program 12', 'tcx 3 type 46 program 12'.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_PROGRAMS = 64, TCX_INGRESS = 46, TCX_EGRESS = 47 /* linux/bpf.h has them from 6.6 */ };

static const int socket_types[] = {
    BPF_CGROUP_INET_SOCK_CREATE,  BPF_CGROUP_INET_SOCK_RELEASE, BPF_CGROUP_INET4_BIND,
    BPF_CGROUP_INET6_BIND,	  BPF_CGROUP_INET4_POST_BIND,	BPF_CGROUP_INET6_POST_BIND,
    BPF_CGROUP_INET4_CONNECT,	  BPF_CGROUP_INET6_CONNECT,	BPF_CGROUP_UDP4_SENDMSG,
    BPF_CGROUP_UDP6_SENDMSG,	  BPF_CGROUP_UDP4_RECVMSG,	BPF_CGROUP_UDP6_RECVMSG,
    BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME, BPF_CGROUP_INET4_GETSOCKNAME,
    BPF_CGROUP_INET6_GETSOCKNAME, BPF_CGROUP_INET_INGRESS,	BPF_CGROUP_INET_EGRESS,
};

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* A kernel without tcx knows nothing of its types. */
static void query(const char *what, const char *where, int target, int type)
{
	unsigned int ids[MOST_PROGRAMS];
	union bpf_attr attr = {};

	attr.query.target_fd = target; /* an ifindex for tcx */
	attr.query.attach_type = type;
	attr.query.prog_ids = (unsigned long)ids;
	attr.query.prog_cnt = MOST_PROGRAMS;
	if (bpf(BPF_PROG_QUERY, &attr)) {
		if (errno != EINVAL || strcmp(what, "tcx")) {
			fprintf(stderr, "census: %s %s, attach type %d: %s\n", what, where, type, strerror(errno));
			exit(1);
		}
		return;
	}
	for (unsigned int i = 0; i < attr.query.prog_cnt; i++)
		printf("%s %s type %d program %u\n", what, where, type, ids[i]);
}

static void query_cgroup(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY);

	if (fd < 0) {
		perror(path);
		exit(1);
	}
	for (unsigned int i = 0; i < sizeof(socket_types) / sizeof(*socket_types); i++)
		query("cgroup", path, fd, socket_types[i]);
	close(fd);
}

static void look_for(const char *what, int command, const char *id)
{
	union bpf_attr attr = {};
	int fd;

	attr.prog_id = atoi(id); /* the same place for all three kinds */
	fd = bpf(command, &attr);
	if (fd >= 0) {
		printf("%s %s\n", what, id);
		close(fd);
	} else if (errno != ENOENT) {
		fprintf(stderr, "census: %s %s: %s\n", what, id, strerror(errno));
		exit(1);
	}
}

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "tcx")) {
			query("tcx", argv[i + 1], atoi(argv[i + 1]), TCX_INGRESS);
			query("tcx", argv[i + 1], atoi(argv[i + 1]), TCX_EGRESS);
		} else if (!strcmp(argv[i], "cgroup")) {
			query_cgroup(argv[i + 1]);
		} else if (!strcmp(argv[i], "program")) {
			look_for("program", BPF_PROG_GET_FD_BY_ID, argv[i + 1]);
		} else if (!strcmp(argv[i], "map")) {
			look_for("map", BPF_MAP_GET_FD_BY_ID, argv[i + 1]);
		} else if (!strcmp(argv[i], "link")) {
			look_for("link", BPF_LINK_GET_FD_BY_ID, argv[i + 1]);
		} else {
			fprintf(stderr, "census: what is a %s?\n", argv[i]);
			return 2;
		}
	}
	return 0;
}
