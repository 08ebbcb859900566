# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makefile - the only build file; everything it makes lies under build/
#
#   make help	lists the targets; V=1 shows the commands
#   SAN=1	address and undefined-behaviour sanitizers, in build/san/
#   XEN_SRC=DIR	a Xen 4.17 source tree instead of Debian's package

V ?= 0
PREFIX ?= /usr
DESTDIR ?=
SAN ?= 0

# --- the one list of Debian packages ------------------------------------
DEPS_BUILD := gcc make pkg-config libxen-dev libevent-dev liblz4-dev \
	libssl-dev libjson-c-dev libxxhash-dev dpkg-dev flex bison bc python3 xz-utils libc6-dev \
	acpica-tools zlib1g-dev uuid-dev linux-headers-amd64 linux-source-6.1
DEPS_TEST := libcmocka-dev clang clang-tidy cppcheck shellcheck libclang-rt-14-dev spin
DEPS_LAB := qemu-system-x86 xen-hypervisor-4.17-amd64 xen-utils-4.17 \
	qemu-system-xen xenstore-utils linux-image-amd64 linux-image-cloud-amd64 \
	busybox-static cpio seabios ipxe-qemu iproute2 iputils-ping kmod socat \
	nbdkit nbdkit-plugin-dev nbd-client xen-utils-common \
	util-linux procps e2fsprogs fio redis-tools
DEPS := $(DEPS_BUILD) $(DEPS_TEST) $(DEPS_LAB)

# --- flags --------------------------------------------------------------
B := build
OPT := -O2
ifeq ($(SAN),1)
B := build/san
OPT := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
endif
WARN := -Wall -Wextra -Werror
CPPFLAGS := -I. -D_GNU_SOURCE
CFLAGS := -g $(OPT) $(WARN)
LDFLAGS := $(filter -fsanitize%,$(OPT))
LIBS := -levent_core -llz4 -lssl -lcrypto -ljson-c
XEN_LIBS := -lxenctrl -lxenguest -lxencall -lxenforeignmemory -lxenevtchn \
	-lxengnttab -lxenstore -lxentoollog

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
endif

# --- sources ------------------------------------------------------------
XEN_C := $(wildcard libxc-ext/xen_*.c) $(wildcard libxc-ext/platform_xen.c)
PROG_C := $(wildcard replicator/main.c replicator/cmd_*.c replicator/run_*.c)
CORE_C := $(filter-out $(PROG_C),$(wildcard replicator/*.c)) \
	$(filter-out $(XEN_C),$(wildcard libxc-ext/*.c)) \
	$(wildcard backends/gate_*.c) $(wildcard ioemu/*.c)
FAULT_C := $(wildcard tests/fault_*.c)
CONTRACT_C := $(wildcard tests/contract/contract*.c)
UNIT_C := $(wildcard tests/unit/test_*.c) $(wildcard tests/sim/test_*.c) \
	$(wildcard tests/ioemu/test_*.c)
DOM0_C := $(wildcard tests/dom0/*.c) $(wildcard tests/hv/*.c)
GUEST_C := $(wildcard tests/guest/*.c)

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
UNIT := $(patsubst tests/%.c,$(B)/tests/%,$(UNIT_C))
ifneq ($(wildcard tests/contract/sim.c),)
UNIT += $(B)/tests/contract/sim
endif
DOM0 := $(addprefix $(B)/dom0-bin/,$(notdir $(DOM0_C:.c=)))
GUEST := $(addprefix $(B)/guest-bin/,$(notdir $(GUEST_C:.c=)))
KEMARI := $(if $(wildcard replicator/main.c),$(B)/kemari $(B)/dom0-bin/kemari)

.PHONY: all deps xen modules native-programs demo check check-native check-san check-model check-lab soak lint \
	bench-lab bench-pairs bench-order install clean help
.DELETE_ON_ERROR:
.SECONDARY:

all: $(KEMARI) $(DOM0) $(GUEST) $(B)/libkemari.a $(B)/libkemari-xen.a ## build everything but the hypervisor

deps: ## install the Debian packages that build, tests and lab need
	$(say) DEPS "$(words $(DEPS)) packages"
	$(Q)tests/install-deps.sh $(DEPS)

xen: ## fetch, patch and build the hypervisor (build/xen/xen)
	$(Q)XEN_SRC="$(XEN_SRC)" hypervisor/build-xen.sh build/xen

modules: ## build the patched backends for the newest kernel headers
	$(Q)backends/linux/build-modules.sh build/modules

demo: ## boot two hosts, protect a guest, cut the power, show what was lost
	$(Q)tests/demo.sh

check: ## all tests: native, sanitizers, lint, lab
	$(Q)tests/check.sh

native-programs: $(UNIT)

check-native: $(UNIT) ## unit tests, contract and whole engine on the simulator
	$(Q)tests/run-native.sh $(UNIT)

check-san: ## the same under address and undefined-behaviour sanitizers
	$(Q)$(MAKE) --no-print-directory SAN=1 check-native

check-model: ## the model of the take-over protocol
	$(Q)tests/model/run.sh

check-lab: xen modules all ## the tests that need the two-host lab
	$(Q)tests/check.sh lab

soak: ## long runs in the lab; resumable, results in build/soak/
	$(Q)tests/soak.sh

bench-lab: xen modules all ## one guest unprotected, under Kemari, under xl remus
	$(Q)tests/bench/lab.py

bench-pairs: xen modules all ## an unprotected guest on stock and patched backends
	$(Q)tests/bench/pairs.py

bench-order: xen modules all ## a protected disk with and without ring order
	$(Q)tests/bench/order.py

lint: ## clang-tidy, cppcheck, shellcheck, header and include rules
	$(Q)tests/lint/run.sh

install: $(B)/kemari ## install program and manual page
	install -D -m 755 $(B)/kemari $(DESTDIR)$(PREFIX)/sbin/kemari
	install -D -m 644 docs/kemari.8 \
		$(DESTDIR)$(PREFIX)/share/man/man8/kemari.8

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | \
		expand -t 18

# --- rules --------------------------------------------------------------
$(call obj,$(XEN_C) $(DOM0_C) $(wildcard tests/unit/test_xen_*.c)): \
	STD := -std=gnu11
STD := -std=c11

# The kernel's source under a harness of its headers.
$(call obj,tests/unit/test_kemari_ring.c): CPPFLAGS += -Itests/unit/kernel

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(STD) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/libkemari.a: $(call obj,$(CORE_C))
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/libkemari-xen.a: $(call obj,$(XEN_C))
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/kemari: $(call obj,$(PROG_C)) $(B)/libkemari-xen.a $(B)/libkemari.a
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(XEN_LIBS) $(LIBS)

$(B)/dom0-bin/kemari: $(B)/kemari
	@mkdir -p $(@D)
	$(Q)cp $< $@

define dom0_rule
$(B)/dom0-bin/$(notdir $(1:.c=)): $(call obj,$(1)) $(if $(findstring contract-xen,$(1)),$(call obj,$(CONTRACT_C))) $(B)/libkemari-xen.a $(B)/libkemari.a
	@mkdir -p $$(@D)
	$$(say) LD $$@
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(if $$(findstring contract-xen,$$@),-lcmocka) $$(XEN_LIBS) $$(LIBS)
endef
$(foreach f,$(DOM0_C),$(eval $(call dom0_rule,$(f))))

# Guest programs run on a bare initramfs: static, no library of ours.
$(B)/guest-bin/%: tests/guest/%.c $(wildcard tests/guest/*.h)
	@mkdir -p $(@D)
	$(say) GUEST $@
	$(Q)$(CC) $(CPPFLAGS) -std=c11 -O2 -g $(WARN) -static -pthread -o $@ $<

$(B)/tests/%: $(B)/obj/tests/%.o $(call obj,$(FAULT_C)) $(B)/libkemari.a
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

$(B)/tests/contract/sim: $(call obj,$(CONTRACT_C))

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
