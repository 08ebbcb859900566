/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * xen_dm.c - the device model of a domain: found, started, ended
 */
#include "libxc-ext/xen_dm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenstore.h>

#include <xen/hvm/params.h>

#include "ioemu/dm.h"
#include "libxc-ext/hotplug.h"

enum {
	DM_PATH_LEN = 96,
	DM_TIMEOUT_MS = 10000,		/* for each of its commands */
	DM_END_MS = 10000,
	NO_KERNEL_BYTES = 16 << 10,	/* boot sector, setup, a little more */
};

/* Where toolstacks have it. */
static const char dm_dir[] = "/usr/libexec";
static const char dm_program[] = "xen-qemu-system-i386";

/* The command line of @pid: its length, 0 if there is no such process. */
static size_t read_line(pid_t pid, char *line, size_t room)
{
	char path[DM_PATH_LEN];
	size_t len = 0;
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	while (len < room && (n = read(fd, line + len, room - len)) > 0)
		len += (size_t)n;
	close(fd);
	return n < 0 ? 0 : len;
}

static bool serves(pid_t pid, uint32_t domid)
{
	char *line = malloc(DM_CMDLINE_MAX);
	size_t len = line ? read_line(pid, line, DM_CMDLINE_MAX) : 0;
	bool is = len && dm_args_serves(line, len, domid);

	free(line);
	return is;
}

pid_t xen_dm_find(struct xen_host *h, uint32_t domid)
{
	struct xs_handle *xs = xs_open(0);
	char path[DM_PATH_LEN], *value;
	pid_t pid = 0;

	if (!xs)
		return xen_fail(h, errno, "no connection to the xenstore "
				"daemon: %s", strerror(errno));
	snprintf(path, sizeof(path),
		 "/local/domain/%u/image/device-model-pid", domid);
	value = xs_read(xs, XBT_NULL, path, NULL);
	if (value)
		pid = atoi(value);
	free(value);
	xs_close(xs);
	return pid > 0 ? pid : 0;
}

static void add_reason(void *arg, const char *text)
{
	xen_reason(arg, "%s", text);
}

/* What no test has shown yet, INV-32. */
static void check_tried(struct xen_host *h, uint32_t domid, uint32_t vcpus,
			struct xen_reasons *r)
{
	static const char *const class[] = { "vbd", "vif" };
	struct xs_handle *xs = xs_open(0);
	char path[DM_PATH_LEN], **ids;
	uint64_t viridian = 0;
	unsigned int n = 0;

	if (!xc_hvm_param_get(h->xch, domid, HVM_PARAM_VIRIDIAN, &viridian) &&
	    viridian)
		xen_reason(r, "viridian: %#llx; the rule is none (viridian=0)",
			   (unsigned long long)viridian);
	if (vcpus > 1)
		xen_reason(r, "vCPUs: %u with a device model; the rule is 1 in "
			   "this version", vcpus);
	for (size_t i = 0; xs && i < sizeof(class) / sizeof(class[0]); i++) {
		snprintf(path, sizeof(path), "/libxl/%u/device/%s", domid,
			 class[i]);
		ids = xs_directory(xs, XBT_NULL, path, &n);
		if (ids && n)
			xen_reason(r, "device %s/%s: with a device model; the "
				   "rule is none in this version", class[i],
				   ids[0]);
		free(ids);
	}
	xs_close(xs);
}

static int check_inside(struct xen_host *h, uint32_t domid,
			struct xen_reasons *r)
{
	struct dm *dm = xen_dm_open(h, domid, 0);
	int rc = 0;

	if (!dm) {
		xen_reason(r, "%s", h->why);
		return 0;
	}
	if (dm_check(dm)) {
		if (errno == ENOMEM)
			rc = xen_fail(h, errno, "%s", dm_why(dm));
		else
			xen_reason(r, "%s", dm_why(dm));
	}
	dm_free(dm);
	return rc;
}

/* Is there a machine that a process should emulate? */
static bool has_machine(struct xen_host *h, uint32_t domid)
{
	xc_domaininfo_t info;

	return xc_domain_getinfolist(h->xch, domid, 1, &info) == 1 &&
	       info.domain == domid && info.flags & XEN_DOMINF_hvm_guest &&
	       info.arch_config.emulation_flags & ~XEN_X86_EMU_LAPIC;
}

int xen_dm_check(struct xen_host *h, uint32_t domid, uint32_t vcpus,
		 struct xen_reasons *r)
{
	pid_t pid = xen_dm_find(h, domid);
	struct dm_args a = { 0 };
	char *line;
	size_t len;

	if (pid < 0)
		return -1;
	if (!pid) {
		if (has_machine(h, domid))
			xen_reason(r, "device model: domain %u is of type hvm, "
				   "and xenstore does not say which process "
				   "serves it", domid);
		return 0;
	}
	if (!serves(pid, domid)) {
		xen_reason(r, "device model: process %d is none of domain %u, "
			   "or has gone", pid, domid);
		return 0;
	}
	line = malloc(DM_CMDLINE_MAX);
	if (!line)
		return xen_fail(h, ENOMEM, "no memory for a command line");
	len = read_line(pid, line, DM_CMDLINE_MAX);
	if (len == DM_CMDLINE_MAX)
		xen_reason(r, "device model: a command line of %d bytes and "
			   "more; the rule is fewer", DM_CMDLINE_MAX);
	else if (!dm_args_read(line, len, &a, add_reason, r) &&
		 a.vcpus != vcpus)
		xen_reason(r, "device model: for %u vCPUs; the domain has %u",
			   a.vcpus, vcpus);
	free(line);
	check_tried(h, domid, vcpus, r);
	return check_inside(h, domid, r);
}

static void ignore(void *arg, const char *text)
{
	snprintf(arg, PLATFORM_WHY_MAX, "%s", text);
}

int xen_dm_args(struct xen_host *h, pid_t pid, struct dm_args *out)
{
	char *line = malloc(DM_CMDLINE_MAX), why[PLATFORM_WHY_MAX];
	size_t len, bad;

	if (!line)
		return xen_fail(h, ENOMEM, "no memory for a command line");
	len = read_line(pid, line, DM_CMDLINE_MAX);
	bad = dm_args_read(line, len, out, ignore, why);
	free(line);
	return bad ? xen_fail(h, EXDEV, "%s", why) : 0;
}

struct dm *xen_dm_open(struct xen_host *h, uint32_t domid, uint64_t wait_ms)
{
	uint64_t end = hotplug_now() + wait_ms;
	struct dm *dm = dm_new(DM_TIMEOUT_MS);
	char path[DM_PATH_LEN];

	if (!dm) {
		(void)xen_fail(h, ENOMEM, "no memory for a device model");
		return NULL;
	}
	dm_args_qmp(domid, path, sizeof(path));
	while (dm_connect(dm, path)) {
		if (hotplug_now() >= end) {
			(void)xen_fail(h, errno, "device model of domain %u: "
				       "%s", domid, dm_why(dm));
			dm_free(dm);
			return NULL;
		}
		hotplug_nap();
	}
	return dm;
}

/* --- a standby's ------------------------------------------------------- */

/* What a former domain of that number left. */
static void forget(uint32_t domid)
{
	struct xs_handle *xs = xs_open(0);
	char path[DM_PATH_LEN];

	if (!xs)
		return;
	snprintf(path, sizeof(path), "/local/domain/0/device-model/%u", domid);
	xs_rm(xs, XBT_NULL, path);
	xs_close(xs);
}

/*
 * The device model of a guest that was booted from a file of the host holds
 * one more device for that, part of its state.  It has it only if there is a
 * kernel, and one that never boots may be zeros.
 */
static int no_kernel(void)
{
	int fd = memfd_create("kemari-no-kernel", MFD_CLOEXEC);

	if (fd >= 0 && !ftruncate(fd, NO_KERNEL_BYTES))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Nothing of ours but its output and @kernel: no file, no signal mask, no
 * session. */
static int spawn(struct dm_line *line, const char *log, int kernel, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t set;
	int rc;

	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	rc = posix_spawn_file_actions_addopen(&files, 0, "/dev/null",
					      O_RDONLY, 0);
	if (!rc)
		rc = posix_spawn_file_actions_addopen(&files, 1, log,
				O_WRONLY | O_CREAT | O_APPEND, 0640);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&files, 1, 2);
	if (!rc && kernel >= 0)
		rc = posix_spawn_file_actions_adddup2(&files, kernel,
						      DM_KERNEL_FD);
	if (!rc)
		rc = posix_spawn_file_actions_addclosefrom_np(&files,
				DM_KERNEL_FD + (kernel >= 0));
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&attr, &set);
	sigaddset(&set, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &set);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID |
				 POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF);
	if (!rc)
		rc = posix_spawn(pid, line->argv[0], &files, &attr, line->argv,
				 environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

pid_t xen_dm_start(struct xen_host *h, uint32_t domid,
		   const struct dm_args *a)
{
	char path[DM_PATH_LEN], log[DM_PATH_LEN], why[HOTPLUG_WHY_MAX];
	struct dm_line *line = calloc(1, sizeof(*line));
	int rc, kernel = a->kernel ? no_kernel() : -1;
	pid_t pid = -1;

	if (!line || (a->kernel && kernel < 0)) {
		free(line);
		return xen_fail(h, ENOMEM, "no memory for a command line");
	}
	if (hotplug_path(dm_dir, dm_program, 0, path, sizeof(path), why)) {
		rc = errno;
		free(line);
		if (kernel >= 0)
			close(kernel);
		return xen_fail(h, rc, "device model: %s", why);
	}
	forget(domid);
	dm_args_make(a, path, domid, line);
	snprintf(log, sizeof(log), "/var/log/xen/qemu-dm-domain-%u.log",
		 domid);
	rc = spawn(line, log, kernel, &pid);
	free(line);
	if (kernel >= 0)
		close(kernel);
	if (rc)
		return xen_fail(h, rc, "cannot start %s, whose output goes to "
				"%s: %s", path, log, strerror(rc));
	return pid;
}

/* A child of ours, or not; one that has ended serves nobody. */
static int wait_end(struct xen_host *h, uint32_t domid, pid_t pid)
{
	uint64_t end = hotplug_now() + DM_END_MS;

	while (serves(pid, domid)) {
		if (hotplug_now() >= end)
			return xen_fail(h, ETIME, "device model of domain %u: "
					"process %d does not end", domid, pid);
		waitpid(pid, NULL, WNOHANG);
		hotplug_nap();
	}
	waitpid(pid, NULL, WNOHANG);
	return 0;
}

int xen_dm_quit(struct xen_host *h, uint32_t domid, pid_t pid, struct dm *dm)
{
	if (dm_quit(dm))
		return xen_fail(h, errno, "device model of domain %u: %s",
				domid, dm_why(dm));
	return wait_end(h, domid, pid);
}

int xen_dm_end(struct xen_host *h, uint32_t domid, pid_t pid)
{
	if (pid > 0 && serves(pid, domid)) {
		kill(pid, SIGKILL);
		if (wait_end(h, domid, pid))
			return -1;
	}
	forget(domid);
	return 0;
}
