# SPDX-License-Identifier: GPL-2.0-only
"""A lab of network namespaces: hosts, real servers and clients, and xdplb between them.

Used by the tests in tests/netns and by the demo. Everything a lab makes bears its
prefix ("xl", the process id, a letter): namespaces in /run/netns, and the directory
/run/PREFIX with run directories, bpffs mounts, logs and files to serve.
"""
