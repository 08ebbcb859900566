/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kernel.h - as much of the kernel as backends/linux/kemari_ring.c needs
 *
 * The headers beside it, under their kernel names, include this one.  Locks
 * only check that they are used in pairs; notifications are counted.
 */
#ifndef TEST_KERNEL_H
#define TEST_KERNEL_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;

#define likely(x)	(x)
#define unlikely(x)	(x)
#define READ_ONCE(x)	(*(volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#define virt_wmb()	__sync_synchronize()
#define smp_mb()	__sync_synchronize()

/* What a guest does at the worst moment. */
extern void (*test_barrier)(void);
#define virt_mb()	do { if (test_barrier) test_barrier(); } while (0)

#define EXPORT_SYMBOL_GPL(name)	extern int test_symbol_##name
#define module_param(name, type, mode) extern int test_param_##name
#define MODULE_PARM_DESC(name, text) extern int test_desc_##name

extern unsigned int test_warned, test_broken, test_notified;
#define pr_warn(...) ((void)snprintf(NULL, 0, __VA_ARGS__), test_broken++)
#define WARN_ON_ONCE(c)	((c) && ++test_warned)

#define GFP_KERNEL 0
#define kvcalloc(n, size, flags) calloc(n, size)
#define kvfree(p)	free(p)

#define min(a, b)	((a) < (b) ? (a) : (b))
#define max_t(t, a, b)	((t)(a) > (t)(b) ? (t)(a) : (t)(b))
#define swap(a, b)							\
	do {								\
		__typeof__(a) swap_ = (a);				\
		(a) = (b);						\
		(b) = swap_;						\
	} while (0)

typedef struct {
	bool held;
} spinlock_t;
#define spin_lock_irqsave(l, f)						\
	do {								\
		assert(!(l)->held);					\
		(l)->held = true;					\
		(void)sizeof(f);					\
	} while (0)
#define spin_unlock_irqrestore(l, f)					\
	do {								\
		assert((l)->held);					\
		(l)->held = false;					\
		(void)sizeof(f);					\
	} while (0)

struct mutex {
	bool held;
};
static inline void mutex_init(struct mutex *m) { m->held = false; }
static inline void mutex_lock(struct mutex *m)
{
	assert(!m->held);
	m->held = true;
}
static inline void mutex_unlock(struct mutex *m)
{
	assert(m->held);
	m->held = false;
}

struct list_head {
	struct list_head *next, *prev;
};
static inline void INIT_LIST_HEAD(struct list_head *l) { l->next = l->prev = l; }

typedef struct {
	u64 n;
} atomic64_t;
static inline void atomic64_inc(atomic64_t *a) { a->n++; }

typedef struct {
	unsigned int woken;
} wait_queue_head_t;
static inline void wake_up_interruptible(wait_queue_head_t *w) { w->woken++; }

static inline void notify_remote_via_irq(unsigned int irq)
{
	assert(irq);
	test_notified++;
}

/* The ring of xen/interface/io/ring.h, as far as a backend's common part. */
typedef u32 RING_IDX;
#define DEFINE_RING_TYPES(name, req_t, rsp_t)				\
union name##_sring_entry {						\
	req_t req;							\
	rsp_t rsp;							\
};									\
struct name##_sring {							\
	RING_IDX req_prod, req_event;					\
	RING_IDX rsp_prod, rsp_event;					\
	u8 pad[48];							\
	union name##_sring_entry ring[1];				\
};									\
struct name##_back_ring {						\
	RING_IDX rsp_prod_pvt;						\
	RING_IDX req_cons;						\
	unsigned int nr_ents;						\
	struct name##_sring *sring;					\
}

#define RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(r, notify)			\
	do {								\
		RING_IDX old_ = (r)->sring->rsp_prod;			\
		(r)->sring->rsp_prod = (r)->rsp_prod_pvt;		\
		(notify) = (r)->rsp_prod_pvt - (r)->sring->rsp_event <	\
			   (r)->rsp_prod_pvt - old_;			\
	} while (0)

#endif
