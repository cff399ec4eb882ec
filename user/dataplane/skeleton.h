/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_DATAPLANE_SKELETON_H
#define XDPLB_DATAPLANE_SKELETON_H

/* The BPF object, embedded: each file that includes this holds a copy of it. */
#include <stdlib.h>
#include <bpf/libbpf.h>

#ifdef __clang_analyzer__ /* which cannot see into libbpf, and takes what it frees for lost */
#define bpf_object__destroy_skeleton(skeleton) free(skeleton)
#endif
#include "xdplb.skel.h"

#endif /* XDPLB_DATAPLANE_SKELETON_H */
