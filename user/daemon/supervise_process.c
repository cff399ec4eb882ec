// SPDX-License-Identifier: GPL-2.0-only
/* The worker process: starting it, telling it things, ending it. */
#include "daemon/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <event2/event.h>

#include "base/clock.h"
#include "worker/message.h"

#define CHILD_FD_MIN 10 /* above those that the child gives a meaning to */

/* ---- starting */

static const int ignored_signals[] = { SIGTERM, SIGINT, SIGHUP };

/* In the child. Its end comes by the daemon alone, so that no packet is lost to the order of two ends. */
static void child_become_worker(int control)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (size_t i = 0; i < sizeof(ignored_signals) / sizeof(ignored_signals[0]); i++)
		signal(ignored_signals[i], SIG_IGN);
	setsid();
	control = fcntl(control, F_DUPFD, CHILD_FD_MIN);
	if (null < 0 || control < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0 || dup2(control, WORKER_FD) < 0 ||
	    close_range(WORKER_FD + 1, ~0U, 0))
		_exit(126);
	execl("/proc/self/exe", "xdplb", "worker", NULL);
	_exit(127);
}

static void on_control(evutil_socket_t fd, short what, void *arg);

static const char *end_describe(pid_t pid, char *text, size_t size)
{
	int status = 0;

	if (waitpid(pid, &status, 0) != pid)
		snprintf(text, size, "is gone");
	else if (WIFSIGNALED(status))
		snprintf(text, size, "was killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(text, size, "ended with status %d", WEXITSTATUS(status));
	return text;
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;
	char text[64];

	(void)fd;
	(void)what;
	log_error("worker: pid %d %s", (int)s->pid, end_describe(s->pid, text, sizeof(text)));
	s->pid = 0;
	supervise_replace(s);
}

static bool process_watch(struct supervisor *s)
{
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	if (s->pidfd < 0)
		return false;
	s->on_end = event_new(s->d->base, s->pidfd, EV_READ, on_end, s);
	s->on_control = event_new(s->d->base, s->control, EV_READ | EV_PERSIST, on_control, s);
	return !event_add(s->on_end, NULL) && !event_add(s->on_control, NULL);
}

static bool fail(struct supervisor *s, const char *what)
{
	log_error("worker: %s: %s", what, strerror(errno));
	process_end(s);
	return false;
}

bool process_start(struct supervisor *s)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return fail(s, "socket pair");
	s->control = pair[0];
	fcntl(s->control, F_SETFL, O_NONBLOCK);
	s->pid = fork();
	if (!s->pid)
		child_become_worker(pair[1]);
	close(pair[1]);
	if (s->pid < 0) {
		s->pid = 0;
		return fail(s, "fork");
	}
	s->born_ns = clock_now_ns();
	if (!process_watch(s))
		return fail(s, "watching it");
	log_info("worker: pid %d", (int)s->pid);
	process_flush(s);
	return true;
}

/* ---- ending */

static void event_end(struct event **event)
{
	if (*event)
		event_free(*event);
	*event = NULL;
}

static void descriptor_end(int *fd)
{
	cleanup_fd(fd);
	*fd = -1;
}

void process_end(struct supervisor *s)
{
	sockets_end(s);
	event_end(&s->on_control);
	event_end(&s->on_end);
	if (s->pid) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	s->pid = 0;
	descriptor_end(&s->control);
	descriptor_end(&s->pidfd);
	if (s->shared)
		munmap(s->shared, sizeof(*s->shared));
	s->shared = NULL;
	s->sent = s->done = s->text_serial = 0;
	s->setup_sent = false;
	dataplane_sniffs_clear(s->d->dp);
}

/* ---- telling it */

/* The serial of what was sent; 0: not now. */
static uint32_t tell(struct supervisor *s, struct worker_message *message, const int *fds,
		     size_t count)
{
	int ret;

	message->serial = s->sent + 1;
	ret = message_send(s->control, message, fds, count);
	if (ret) /* full: goes on with the next answer. Gone: its end will be told of. */
		return 0;
	if (s->sent == s->done)
		s->waiting_ns = clock_now_ns();
	return s->sent = message->serial;
}

/* Memory that cannot be made shorter by whom it is given to. */
static int memory_make(const char *name, size_t size)
{
	auto_fd int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -errno;
	return take_fd(&fd);
}

static bool setup_tell(struct supervisor *s)
{
	struct worker_message message = { .type = WORKER_SETUP };
	auto_fd int memory = memory_make("xdplb-counters", sizeof(*s->shared));
	const int fds[] = { dataplane_splice_program(s->d->dp),
			    dataplane_handshakes_program(s->d->dp), memory };
	void *map;

	if (memory < 0)
		return false;
	map = mmap(NULL, sizeof(*s->shared), PROT_READ, MAP_SHARED, memory, 0);
	if (map == MAP_FAILED)
		return false;
	if (!tell(s, &message, fds, 3)) {
		munmap(map, sizeof(*s->shared));
		return false;
	}
	s->shared = map;
	return true;
}

static uint32_t rules_tell(struct supervisor *s)
{
	size_t size = strlen(s->text);
	struct worker_message message = { .type = WORKER_RULES, .size = (uint32_t)size };
	auto_fd int memory = memory_make("xdplb-rules", size);

	if (memory < 0 || pwrite(memory, s->text, size, 0) != (ssize_t)size)
		return 0;
	return tell(s, &message, &memory, 1);
}

static bool socket_tell(struct supervisor *s, struct worker_socket *socket)
{
	struct worker_message message = { .row = socket->row,
					  .place = socket->place,
					  .ifindex = socket->ifindex,
					  .frame = socket->xsk.frame,
					  .sockets = (uint32_t)s->socket_count };
	const int fds[] = { socket->xsk.fd, socket->xsk.memory };

	if (socket->state == SOCKET_MADE) {
		message.type = WORKER_SOCKET;
		socket->serial = tell(s, &message, fds, 2);
		if (!socket->serial)
			return false;
		descriptor_end(&socket->xsk.memory);
		socket->state = SOCKET_SENT;
	} else if (socket->state == SOCKET_GOING && !socket->serial) {
		message.type = WORKER_SOCKET_GONE;
		socket->serial = tell(s, &message, NULL, 0);
		return socket->serial;
	}
	return true;
}

void process_flush(struct supervisor *s)
{
	if (!s->pid)
		return;
	if (!s->setup_sent)
		s->setup_sent = setup_tell(s);
	if (s->setup_sent && s->text && !s->text_serial)
		s->text_serial = rules_tell(s);
	if (!s->text_serial)
		return;
	for (size_t i = 0; i < s->socket_count; i++)
		if (!socket_tell(s, &s->sockets[i]))
			return;
}

/* ---- what it answers */

/* False: it makes no sense, or there is nobody any more. */
static bool answer_take(struct supervisor *s, const struct worker_message *answer)
{
	if (answer->type != WORKER_DONE || answer->serial != s->done + 1 ||
	    answer->serial > s->sent)
		return false;
	s->done = answer->serial;
	s->waiting_ns = clock_now_ns();
	return true;
}

static bool answers_take(struct supervisor *s)
{
	struct worker_message answer;
	int fds[MESSAGE_FDS], ret;

	while ((ret = message_receive(s->control, &answer, fds)) > 0) {
		for (size_t i = 0; i < MESSAGE_FDS; i++)
			cleanup_fd(&fds[i]);
		if (!answer_take(s, &answer))
			break;
	}
	if (ret == -EAGAIN)
		return true;
	if (ret)
		log_error("worker: pid %d says what makes no sense", (int)s->pid);
	/* If it has not ended by itself, it does now; where its end is noticed, another is started. */
	event_del(s->on_control);
	kill(s->pid, SIGKILL);
	return false;
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
	struct supervisor *s = arg;

	(void)fd;
	(void)what;
	if (!answers_take(s))
		return;
	sockets_done(s);
	process_flush(s);
}

bool process_await(struct supervisor *s, uint32_t serial, uint32_t ms)
{
	uint64_t until_ns = clock_now_ns() + ms * 1000000ULL, now_ns;
	struct pollfd fd = { .fd = s->control, .events = POLLIN };

	if (!s->pid || !serial)
		return false;
	while (s->done < serial && (now_ns = clock_now_ns()) < until_ns) {
		if (poll(&fd, 1, (int)((until_ns - now_ns) / 1000000) + 1) < 0 && errno != EINTR)
			return false;
		if (!answers_take(s))
			return false;
	}
	return s->done >= serial;
}
