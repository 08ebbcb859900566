// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lab-agent.c - runs commands in a lab host's dom0 for `lab exec`
 *
 * One TCP connection is one command.  Frames both ways: a type byte, a length
 * (32 bits, big endian, at most FRAME_MAX), the bytes.
 *   to the agent:    A one argument   X start   I stdin (length 0: end of file)
 *   from the agent:  R started    O stdout   E stderr   S exit status (1 byte)
 * A command ended by signal n has status 128 + n, as in a shell.  When the
 * connection ends first, the command's process group is ended.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	AGENT_PORT = 7070,
	HEAD_LEN = 5,		/* type and length */
	FRAME_MAX = 65536,	/* bytes of one frame's body */
	ARGS_MAX = 1024,	/* arguments of one command */
	ARG_BYTES_MAX = 1 << 20,
	TERM_GRACE_MS = 1000,	/* between SIGTERM and SIGKILL */
};

struct session {
	int sock;
	char *argv[ARGS_MAX + 1];
	size_t argc, arg_bytes;

	pid_t pid;		/* 0 until started */
	int pidfd;
	int in, out, err;	/* our ends of the command's pipes; -1 closed */

	uint8_t rx[HEAD_LEN + FRAME_MAX];	/* received, not yet handled */
	size_t rx_len;
	size_t in_done;		/* bytes of the stdin frame at rx written */
};

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static int write_all(int fd, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Send one frame; the peer always reads, so that this may block. */
static int send_frame(int sock, char type, const void *body, size_t len)
{
	static uint8_t frame[HEAD_LEN + FRAME_MAX];

	frame[0] = (uint8_t)type;
	frame[1] = (uint8_t)(len >> 24);
	frame[2] = (uint8_t)(len >> 16);
	frame[3] = (uint8_t)(len >> 8);
	frame[4] = (uint8_t)len;
	memcpy(frame + HEAD_LEN, body, len);
	return write_all(sock, frame, HEAD_LEN + len);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* In the child: become the command; does not return. */
static void run_command(char *const argv[], int in, int out, int err)
{
	setsid();
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(126);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	execvp(argv[0], argv);
	dprintf(2, "lab-agent: %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static int start(struct session *s)
{
	int in[2], out[2], err[2];

	if (!s->argc || s->pid)
		return -1;
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) ||
	    pipe2(err, O_CLOEXEC))
		return -1;
	s->pid = fork();
	if (s->pid < 0)
		return -1;
	if (!s->pid)
		run_command(s->argv, in[0], out[1], err[1]);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	s->in = in[1];
	s->out = out[0];
	s->err = err[0];
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	if (s->pidfd < 0 || fcntl(s->in, F_SETFL, O_NONBLOCK))
		return -1;
	return send_frame(s->sock, 'R', "", 0);
}

static int add_arg(struct session *s, const uint8_t *body, size_t len)
{
	char *arg;

	s->arg_bytes += len;
	if (s->argc == ARGS_MAX || s->arg_bytes > ARG_BYTES_MAX)
		return -1;
	arg = strndup((const char *)body, len);
	if (!arg)
		return -1;
	s->argv[s->argc++] = arg;
	return 0;
}

/* Give the stdin frame at the head of rx to the command: 1 done, 0 later. */
static int feed_stdin(struct session *s, const uint8_t *body, size_t len)
{
	if (!len)
		close_fd(&s->in);
	while (s->in >= 0 && s->in_done < len) {
		ssize_t n = write(s->in, body + s->in_done, len - s->in_done);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			close_fd(&s->in);	/* the command reads no more */
		else
			s->in_done += (size_t)n;
	}
	s->in_done = 0;
	return 1;
}

/* Handle every whole frame in rx.  -1: the peer does not speak our protocol. */
static int handle_frames(struct session *s)
{
	while (s->rx_len >= HEAD_LEN) {
		uint32_t len = get_be32(s->rx + 1);
		const uint8_t *body = s->rx + HEAD_LEN;
		int r;

		if (len > FRAME_MAX)
			return -1;
		if (s->rx_len < HEAD_LEN + len)
			return 0;
		switch (s->rx[0]) {
		case 'A':
			r = s->pid ? -1 : add_arg(s, body, len);
			break;
		case 'X':
			r = start(s);
			break;
		case 'I':
			r = s->pid ? feed_stdin(s, body, len) : -1;
			if (r == 0)
				return 0;
			break;
		default:
			r = -1;
		}
		if (r < 0)
			return -1;
		s->rx_len -= HEAD_LEN + len;
		memmove(s->rx, s->rx + HEAD_LEN + len, s->rx_len);
	}
	return 0;
}

/* Pass on what one read gives.  -1: the connection is broken. */
static int forward(struct session *s, int *fd, char type)
{
	uint8_t buf[FRAME_MAX];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0) {
		close_fd(fd);
		return 0;
	}
	return send_frame(s->sock, type, buf, (size_t)n);
}

/*
 * After the command's end: pass on what lies in the pipe now.  A background
 * process may hold the other end open; it is not waited for.
 */
static int drain(struct session *s, int *fd, char type)
{
	int left = 0;

	while (*fd >= 0 && !ioctl(*fd, FIONREAD, &left) && left > 0)
		if (forward(s, fd, type))
			return -1;
	return 0;
}

static int finish(struct session *s)
{
	uint8_t status, buf[4096];
	siginfo_t info = { 0 };

	if (drain(s, &s->out, 'O') || drain(s, &s->err, 'E'))
		return -1;
	if (waitid(P_PID, (id_t)s->pid, &info, WEXITED))
		return -1;
	status = (uint8_t)(info.si_code == CLD_EXITED ? info.si_status
						      : 128 + info.si_status);
	s->pid = 0;
	if (send_frame(s->sock, 'S', &status, 1))
		return -1;
	/* Closing with unread input would reset the status away. */
	shutdown(s->sock, SHUT_WR);
	while (read(s->sock, buf, sizeof(buf)) > 0)
		;
	return 0;
}

/* The client went away: so does the command. */
static void end_command(struct session *s)
{
	struct pollfd pfd = { .fd = s->pidfd, .events = POLLIN };

	if (!s->pid)
		return;
	kill(-s->pid, SIGTERM);
	poll(&pfd, 1, TERM_GRACE_MS);
	kill(-s->pid, SIGKILL);
}

static int receive(struct session *s)
{
	ssize_t n = read(s->sock, s->rx + s->rx_len,
			 sizeof(s->rx) - s->rx_len);

	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0)
		return -1;
	s->rx_len += (size_t)n;
	return handle_frames(s);
}

static int serve(struct session *s)
{
	enum { SOCK, IN, OUT, ERR, PID, NUM };

	for (;;) {
		bool full = s->rx_len == sizeof(s->rx);
		bool held = s->in >= 0 && s->rx_len >= HEAD_LEN &&
			    s->rx[0] == 'I' &&
			    s->rx_len >= HEAD_LEN + get_be32(s->rx + 1);
		struct pollfd p[NUM] = {
			[SOCK] = { .fd = s->sock, .events =
				   (short)(full ? POLLRDHUP
						: POLLIN | POLLRDHUP) },
			[IN] = { .fd = held ? s->in : -1, .events = POLLOUT },
			[OUT] = { .fd = s->out, .events = POLLIN },
			[ERR] = { .fd = s->err, .events = POLLIN },
			[PID] = { .fd = s->pidfd, .events = POLLIN },
		};

		if (poll(p, NUM, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		if (p[OUT].revents && forward(s, &s->out, 'O'))
			return -1;
		if (p[ERR].revents && forward(s, &s->err, 'E'))
			return -1;
		if (p[PID].revents)
			return finish(s);
		if (p[IN].revents && handle_frames(s))
			return -1;
		if (p[SOCK].revents & (POLLRDHUP | POLLHUP | POLLERR))
			return -1;
		if ((p[SOCK].revents & POLLIN) && receive(s))
			return -1;
	}
}

static void session(int sock)
{
	static struct session s = { .pidfd = -1, .in = -1, .out = -1,
				    .err = -1 };
	int on = 1, idle = 20, every = 5, times = 8;

	s.sock = sock;
	setsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	setsockopt(sock, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times));
	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (serve(&s))
		end_command(&s);
	exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int on = 1, sock;

	if (argc != 2 || inet_pton(AF_INET, argv[1], &addr.sin_addr) != 1) {
		fprintf(stderr, "usage: lab-agent ADDRESS\n");
		return 2;
	}
	addr.sin_port = htons(AGENT_PORT);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);	/* sessions need no wait */
	sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(sock, 64)) {
		perror("lab-agent: listen");
		return 1;
	}
	for (;;) {
		int peer = accept4(sock, NULL, NULL, SOCK_CLOEXEC);

		if (peer < 0)
			continue;
		if (!fork()) {
			close(sock);
			signal(SIGCHLD, SIG_DFL);
			session(peer);
		}
		close(peer);
	}
}
