// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * transport_plain.c - the bytes of a socket as they are
 */
#include "replicator/transport.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int transport_fail(struct transport *tr, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(tr->why, sizeof(tr->why), fmt, ap);
	va_end(ap);
	errno = err;
	return -1;
}

static bool try_again(int err)
{
	return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

static int lost(struct transport *tr)
{
	return transport_fail(tr, errno, "connection lost: %s", strerror(errno));
}

static int plain_start(struct transport *tr)
{
	(void)tr;
	return 0;
}

static ssize_t plain_read(struct transport *tr, void *to, size_t len)
{
	ssize_t n = recv(tr->fd, to, len, 0);

	if (n >= 0)
		return n;
	if (!try_again(errno))
		return lost(tr);
	errno = EAGAIN;
	return -1;
}

static ssize_t plain_write(struct transport *tr, const struct iovec *iov, int n)
{
	struct msghdr msg = {
		.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n
	};
	ssize_t sent = sendmsg(tr->fd, &msg, MSG_NOSIGNAL);

	if (sent >= 0)
		return sent;
	return try_again(errno) ? 0 : lost(tr);
}

static void plain_close(struct transport *tr)
{
	close(tr->fd);
	free(tr);
}

static const struct transport_ops plain_ops = {
	.name = "plaintext",
	.start = plain_start,
	.read = plain_read,
	.write = plain_write,
	.close = plain_close,
};

struct transport *transport_plain(int fd)
{
	struct transport *tr = calloc(1, sizeof(*tr));

	if (!tr) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	tr->ops = &plain_ops;
	tr->fd = fd;
	snprintf(tr->label, sizeof(tr->label), "plaintext");
	return tr;
}
