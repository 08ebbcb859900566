/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * netif.h - the kernel's names for what Xen's own header calls otherwise
 */
#ifndef TEST_KERNEL_NETIF_H
#define TEST_KERNEL_NETIF_H

#include <stdint.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/io/netif.h>

#define xen_netif_tx_back_ring	netif_tx_back_ring
#define xen_netif_extra_info	netif_extra_info
#define XEN_NETTXF_extra_info	NETTXF_extra_info
#define XEN_NETTXF_more_data	NETTXF_more_data
#define READ_ONCE(x)		(*(const volatile __typeof__(x) *)&(x))

#endif
