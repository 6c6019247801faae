/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop that one would write: two taps, poll, read until there is no more,
 * write to the other.  tap_loop offload|plain IF IF
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int
open_tap(const char *name, int offload)
{
	struct ifreq request = {0};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0));
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0 ||
	    (offload && ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0)) {
		perror(name);
		exit(1);
	}
	return fd;
}

int
main(int argc, char **argv)
{
	static char buffer[69632];
	struct pollfd set[2];

	if (argc != 4)
		return 2;
	for (int i = 0; i < 2; i++)
		set[i] = (struct pollfd){open_tap(argv[2 + i], strcmp(argv[1], "offload") == 0), POLLIN, 0};
	for (;;) {
		if (poll(set, 2, -1) < 0 && errno != EINTR)
			return 1;
		for (int i = 0; i < 2; i++) {
			ssize_t length;

			if (set[i].revents == 0)
				continue;
			while ((length = read(set[i].fd, buffer, sizeof(buffer))) > 0)
				if (write(set[1 - i].fd, buffer, (size_t)length) < 0 && errno == EBADFD)
					return 1;
		}
	}
}
