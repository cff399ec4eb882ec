// SPDX-License-Identifier: GPL-2.0-only
#include "worker/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sched.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_xdp.h>
#include <seccomp.h>

#include "worker/worker.h"

#define NOBODY 65534
#define DESCRIPTORS (2 * WORKER_THREADS + 32) /* two a thread, and what passes through */
#define LAST_CAPABILITY 63

/* ---- who it is */

static bool user_drop(void)
{
	if (geteuid())
		return true; /* somebody else already: and may not become anybody */
	return !setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY) &&
	       !setresuid(NOBODY, NOBODY, NOBODY);
}

/* The bounding set takes a capability to change, and without it nothing can be gained by exec anyway. */
static void bounding_drop(void)
{
	for (int i = 0; i <= LAST_CAPABILITY; i++)
		prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static bool capabilities_drop(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	return !syscall(SYS_capset, &header, none);
}

static bool limits_set(void)
{
	const struct rlimit descriptors = { .rlim_cur = DESCRIPTORS, .rlim_max = DESCRIPTORS };
	const struct rlimit none = { .rlim_cur = 0, .rlim_max = 0 };

	return !setrlimit(RLIMIT_NOFILE, &descriptors) && !setrlimit(RLIMIT_CORE, &none);
}

/* ---- what it may ask of the kernel */

/* Without conditions: they work on descriptors and memory that are there, or tell the time. */
static const int plain_calls[] = {
	/* packets, messages, waiting */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(close),
	SCMP_SYS(eventfd2),
	SCMP_SYS(restart_syscall),
	/* memory */
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	/* threads */
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* signals: how abort() ends a process */
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn),
	/* time and chance */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),
};

static int allow_conditional(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp not_executable =
		SCMP_A2(SCMP_CMP_MASKED_EQ, (scmp_datum_t)PROT_EXEC, 0);
	int ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, not_executable);

	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				       not_executable);
	/* Wakes a driver, or answers the daemon: without an address, so over what is connected. */
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1,
				       SCMP_A4(SCMP_CMP_EQ, 0));
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(getsockopt), 2,
				       SCMP_A1(SCMP_CMP_EQ, SOL_XDP),
				       SCMP_A2(SCMP_CMP_EQ, XDP_MMAP_OFFSETS));
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(bpf), 1,
				       SCMP_A0(SCMP_CMP_EQ, BPF_PROG_TEST_RUN));
	/* A name for a thread, or (as newer C libraries do) for memory. */
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				       SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 1,
				       SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA));
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				       SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	/* The C library looks at /proc/sys/vm before it gives memory back, and does without. */
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
	/* Threads, no processes. A filter cannot see what clone3() is asked: clone() is used then. */
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (!ret)
		ret = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return ret;
}

static bool filter_load(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int ret = filter ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < sizeof(plain_calls) / sizeof(plain_calls[0]); i++)
		ret = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain_calls[i], 0);
	if (!ret)
		ret = allow_conditional(filter);
	if (!ret)
		ret = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	errno = -ret;
	return !ret;
}

bool sandbox_enter(int parent)
{
	bounding_drop(); /* while the capability for it is there */
	if (!limits_set() || !user_drop() || !capabilities_drop())
		return false;
	/* Behind the change of user, which takes it back; the parent may be gone by now. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return false;
	if (getppid() != parent) {
		errno = ESRCH;
		return false;
	}
	return filter_load();
}
