/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_raw.h - the same bytes without the engine: what it is measured against
 *
 * A raw connection: a struct raw_ask, then .count times .chunk bytes, each
 * answered by RAW_ANSWER bytes, the size of an ACK with its header.  One chunk
 * is a stream, many are a ping-pong.
 */
#ifndef KEMARI_BENCH_RAW_H
#define KEMARI_BENCH_RAW_H

#include <stddef.h>
#include <stdint.h>

struct event_base;
struct platform;

enum { RAW_ANSWER = 128 };

/** struct raw_lz4 - lz4 alone, on the pages of a list */
struct raw_lz4 {
	uint64_t compress_ns, decompress_ns;
	uint64_t bytes;		/* compressed */
};

/**
 * raw_gather() - memcpy the frames of a guest's list into a buffer, in order
 * Return: ns
 */
uint64_t raw_gather(struct platform *guest, void *to);

/** raw_scatter() - The other way, as an apply does; ns */
uint64_t raw_scatter(struct platform *guest, const void *from);

/** raw_lz4() - Compress each page of a guest's list, and back */
struct raw_lz4 raw_lz4(struct platform *guest);

/**
 * raw_connect() - A raw connection
 * @port:	Decimal
 * @rate:	Paced to so many bytes/s, 0 not
 * @why:	256 bytes; a sentence on failure
 * Return: a socket, or -1
 */
int raw_connect(const char *host, const char *port, uint64_t rate, char *why);

/**
 * raw_send() - @count chunks of @chunk bytes, each with its answer
 * @ns:		Gets the time of each, @count of them; NULL: not wanted
 * Return: ns in all, 0 on failure
 */
uint64_t raw_send(int fd, uint64_t chunk, uint32_t count, uint64_t *ns);

/**
 * raw_listen() - Serve raw connections on @base
 * @port:	Decimal, "0" any
 * @why:	256 bytes; a sentence on failure
 * Return: the port, or 0
 */
unsigned int raw_listen(struct event_base *base, const char *host,
			const char *port, char *why);

#endif
