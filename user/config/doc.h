/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef XDPLB_CONFIG_DOC_H
#define XDPLB_CONFIG_DOC_H

/*
 * The manual of the configuration, from the rows that the loader walks:
 * docs/configuration.md and configs/full.yaml are what these write.
 */
#include <stdio.h>

void config_doc_markdown(FILE *out);

/* A file with every key, its meaning and its default; it loads. */
void config_doc_yaml(FILE *out);

#endif /* XDPLB_CONFIG_DOC_H */
