/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DAEMON_NOTIFY_H
#define XDPLB_DAEMON_NOTIFY_H

/* Tells systemd (or whoever set NOTIFY_SOCKET) "READY=1" and the like; nobody there: nothing happens. */
void notify_send(const char *state);

#endif /* XDPLB_DAEMON_NOTIFY_H */
