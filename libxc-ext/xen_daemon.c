// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * xen_daemon.c - what only the xenstore daemon knows about a domain
 *
 * Questions of XS_CONTROL.  oxenstored answers both of ours; C xenstored
 * knows neither, so that nothing may depend on an answer.  Not through
 * libxenstore, which drops its connection at an answer of more than 4 KiB.
 */
#include "libxc-ext/xen_store_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

enum { ANSWER_SECONDS = 5 };

static int connect_daemon(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	const char *path = xs_daemon_socket();
	int fd;

	if (!path || strlen(path) >= sizeof(to.sun_path)) {
		errno = ENOENT;
		return -1;
	}
	memcpy(to.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

static int read_all(int fd, void *out, size_t len)
{
	uint8_t *to = out;

	while (len) {
		ssize_t n = recv(fd, to, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n ? errno : EIO;
			return -1;
		}
		to += n;
		len -= (size_t)n;
	}
	return 0;
}

static char *read_answer(int fd)
{
	struct xsd_sockmsg head;
	char *answer;

	if (read_all(fd, &head, sizeof(head)))
		return NULL;
	if (head.type != XS_CONTROL || head.len > DAEMON_ANSWER_MAX) {
		errno = head.type == XS_ERROR ? ENOSYS : EPROTO;
		return NULL;
	}
	answer = malloc(head.len + 1);
	if (!answer)
		return NULL;
	answer[head.len] = 0;
	if (read_all(fd, answer, head.len)) {
		free(answer);
		return NULL;
	}
	return answer;
}

char *daemon_ask(const char *cmd, const char *arg)
{
	struct {
		struct xsd_sockmsg head;
		char text[128];
	} ask = { .head.type = XS_CONTROL };
	char *answer = NULL;
	int fd, n, err;

	n = snprintf(ask.text, sizeof(ask.text), "%s%c%s%c", cmd, 0,
		     arg ? arg : "", 0);
	if (n < 0 || (size_t)n >= sizeof(ask.text)) {
		errno = EINVAL;
		return NULL;
	}
	ask.head.len = (uint32_t)n - (arg ? 0 : 1);
	fd = connect_daemon();
	if (fd < 0)
		return NULL;
	n = (int)(sizeof(ask.head) + ask.head.len);
	if (send(fd, &ask, (size_t)n, MSG_NOSIGNAL) == n)
		answer = read_answer(fd);
	err = errno;
	close(fd);
	errno = err;
	return answer;
}

/* Lines "watch D<domid>: <path> <token>". */
int daemon_watches(uint32_t domid, struct nodes *l)
{
	char *answer = daemon_ask("watches", NULL), *line, *rest;
	char prefix[32];
	int rc = 0;

	if (!answer)
		return -1;
	nodes_drop_watches(l);
	snprintf(prefix, sizeof(prefix), "watch D%u: ", domid);
	for (line = strtok_r(answer, "\n", &rest); line && !rc;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *path = line + strlen(prefix), *token;

		if (strncmp(line, prefix, strlen(prefix)))
			continue;
		token = strchr(path, ' ');
		if (!token)
			continue;
		*token++ = 0;
		/* One that cannot be carried over is the guest's loss. */
		if (nodes_add_watch(l, path, token) && errno == ENOMEM)
			rc = -1;
	}
	free(answer);
	return rc;
}

/* "XenBus state: partial_in: 16 needed, partial_out: 0 bytes, pkt_out: 0
 * packets, ...; overflow queue length: 0, ..." */
int daemon_idle(uint32_t domid)
{
	static const char *const idle[] = {
		"partial_in: 16 needed", "partial_out: 0 bytes",
		"pkt_out: 0 packets", "overflow queue length: 0",
	};
	char text[16], *answer;
	size_t i;
	int rc = 1;

	snprintf(text, sizeof(text), "%u", domid);
	answer = daemon_ask("xenbus", text);
	if (!answer || !strstr(answer, "XenBus state")) {
		free(answer);
		return -1;
	}
	for (i = 0; i < sizeof(idle) / sizeof(idle[0]); i++)
		if (!strstr(answer, idle[i]))
			rc = 0;
	free(answer);
	return rc;
}
