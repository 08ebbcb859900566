/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kemari.h - fault tolerance for guests that do not co-operate: the hypercall
 */
#ifndef __ASM_X86_HVM_KEMARI_H__
#define __ASM_X86_HVM_KEMARI_H__

#include <xen/guest_access.h>

#include <public/hvm/kemari.h>

/* HVMOP_kemari: errors as in the public header, -ERESTART to be called again. */
int do_kemari_op(XEN_GUEST_HANDLE_PARAM(xen_hvm_kemari_t) arg);

#endif /* __ASM_X86_HVM_KEMARI_H__ */
