// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * test_xen_image.c - records of a Xen domain: what is taken, what is refused
 *
 * Only Xen's headers are needed: the file under test makes no hypercall.
 */
#include "libxc-ext/xen_image.c"	/* NOLINT(bugprone-suspicious-include) */

#include <setjmp.h>
#include <cmocka.h>

enum {
	VCPUS = 2,
	PORTS = 16,
	KEMARI_PORT = 15,
	DM_PORT = 5,			/* and VCPUS more */
	PIRQ = 17, PIRQ_PORT = 9,
	FRAMES = 2,
	PAGES = 64,
	SPECIAL = 0xfeff8,
	FLIPS = 20000,
};

/* The only thing of xen_p2m.c that is used. */
void xen_p2m_free(struct xen_p2m *p)
{
	free(p->range);
	memset(p, 0, sizeof(*p));
}

static char why[PLATFORM_WHY_MAX];

static void put(struct recbuf *b, uint16_t type, uint32_t instance,
		const void *data, size_t len)
{
	assert_int_equal(recbuf_add(b, type, RECORD_MANDATORY, instance, data,
				    len), 0);
}

/* --- a domain ----------------------------------------------------------- */

static void put_shape_bare(struct recbuf *b)
{
	const struct xen_rec_domain d = {
		.uuid = { 1 }, .domid = 7, .vcpus = VCPUS,
		.max_grant_frames = 4, .kemari_port = KEMARI_PORT,
		.pages = PAGES + 8, .max_pages = PAGES + 8,
		.shared_info = 0x10,
	};
	const struct xen_rec_range r[] = { { 0, PAGES }, { SPECIAL, 8 } };
	const struct xen_rec_cpuid c[] = { { .leaf = 0, .a = 1 } };
	const struct xen_rec_msr m[] = { { .index = 0xce } };
	const struct xen_rec_param p[] = {
		{ .index = HVM_PARAM_STORE_PFN, .value = SPECIAL + 1 },
		{ .index = HVM_PARAM_CONSOLE_PFN, .value = SPECIAL + 2 },
	};

	put(b, RECORD_XEN_DOMAIN, 0, &d, sizeof(d));
	put(b, RECORD_XEN_RANGES, 0, r, sizeof(r));
	put(b, RECORD_XEN_CPUID, 0, c, sizeof(c));
	put(b, RECORD_XEN_MSRS, 0, m, sizeof(m));
	put(b, RECORD_XEN_PARAMS, 0, p, sizeof(p));
}

/* Of one section, of one byte. */
static const uint8_t dm_state[] = {
	'Q', 'E', 'V', 'M', 0, 0, 0, 3,
	4, 0, 0, 0, 1, 5, 't', 'i', 'm', 'e', 'r', 0, 0, 0, 0, 0, 0, 0, 2,
	0x55, 0,
};

/* A guest with a device model. */
static void put_shape(struct recbuf *b)
{
	const struct xen_rec_dm dm = {
		.memory_mib = 128, .first_port = DM_PORT, .ports = VCPUS + 1,
		.kernel = 1,
	};

	put_shape_bare(b);
	put(b, RECORD_XEN_DM, 0, &dm, sizeof(dm));
	put(b, RECORD_DM_STATE, 0, dm_state, sizeof(dm_state));
}

static size_t put_part(uint8_t *at, uint16_t type, uint16_t which,
		       uint32_t len)
{
	const struct hvm_save_descriptor d = { type, which, len };

	memcpy(at, &d, sizeof(d));
	memset(at + sizeof(d), 0x55, len);
	return sizeof(d) + len;
}

static void put_context(struct recbuf *b, uint16_t cpus)
{
	uint8_t bytes[8192] = { 0 };
	size_t n = sizeof(struct xen_rec_context);

	n += put_part(bytes + n, HVM_SAVE_CODE(HEADER), 0, 16);
	for (uint16_t cpu = 0; cpu < cpus; cpu++)
		n += put_part(bytes + n, HVM_SAVE_CODE(CPU), cpu, 1032);
	n += put_part(bytes + n, HVM_SAVE_CODE(END), 0, 0);
	put(b, RECORD_XEN_CONTEXT, 0, bytes, n);
}

static void put_image_of(struct recbuf *b, bool dm)
{
	struct xen_rec_pirqs pirqs;
	static const struct xen_rec_grant g = { .gfn = 0xffff };
	const struct xen_rec_dom d = {
		.shared_info = 0x10, .ports = PORTS, .grant_frames = FRAMES,
	};
	const struct xen_rec_param p[] = {
		{ .index = HVM_PARAM_CALLBACK_IRQ, .value = 1 },
		{ .index = HVM_PARAM_STORE_EVTCHN, .value = 1 },
	};
	const struct xen_rec_vcpu v = {
		.flags = KEMARI_VF_SINGLESHOT, .upcall_vector = 0xf3,
		.info_gfn = 0x20, .info_offset = 64,
	};
	struct xen_rec_port ports[PORTS] = {
		[1] = { .state = KEMARI_EVTCHN_INTERDOM },
		[2] = { .state = KEMARI_EVTCHN_UNBOUND },
		[3] = { .state = KEMARI_EVTCHN_VIRQ, .vcpu = 1 },
		[4] = { .state = KEMARI_EVTCHN_IPI, .vcpu = 1 },
		[KEMARI_PORT] = { .state = KEMARI_EVTCHN_XEN },
	};

	if (dm) {
		for (int i = 0; i <= VCPUS; i++)
			ports[DM_PORT + i].state = KEMARI_EVTCHN_XEN;
		ports[PIRQ_PORT].state = KEMARI_EVTCHN_PIRQ;
		ports[PIRQ_PORT].virq = PIRQ;
	}
	memset(&pirqs, 0xff, sizeof(pirqs));
	pirqs.pirq[9] = PIRQ;
	if (dm) {
		put(b, RECORD_DM_STATE, 0, dm_state, sizeof(dm_state));
		put(b, RECORD_XEN_PIRQS, 0, &pirqs, sizeof(pirqs));
	}
	put(b, RECORD_XEN_DOM, 0, &d, sizeof(d));
	put(b, RECORD_XEN_PARAMS, 0, p, sizeof(p));
	put(b, RECORD_XEN_PORTS, 0, ports, sizeof(ports));
	for (uint32_t n = 0; n < VCPUS; n++)
		put(b, RECORD_XEN_VCPU, n, &v, sizeof(v));
	put_context(b, VCPUS);
	for (uint32_t n = 0; n < FRAMES; n++)
		put(b, RECORD_XEN_GRANT, n, &g, sizeof(g));
}

static void put_image(struct recbuf *b)
{
	put_image_of(b, true);
}

/* --- one reader for both lists ------------------------------------------ */

static struct xen_shape shape;

static int read_shape(const void *records, size_t len)
{
	struct xen_shape s;
	int rc = xen_shape_read(records, len, &s, why);

	if (!rc)
		xen_shape_free(&s);
	return rc;
}

static int read_image(const void *records, size_t len)
{
	struct xen_image i;

	return xen_image_read(records, len, &shape, &i, why);
}

/** struct list - a list of records, how it is made and how it is read */
struct list {
	void (*make)(struct recbuf *b);
	int (*read)(const void *records, size_t len);
	uint16_t optional;		/* type that may be missing */
};

static const struct list lists[] = {
	{ put_shape, read_shape, RECORD_XEN_MSRS },
	{ put_image, read_image, 0 },
};

enum { LISTS = sizeof(lists) / sizeof(lists[0]) };

#define refused(call) do {						\
		why[0] = '\0';						\
		errno = 0;						\
		assert_int_equal(call, -1);				\
		assert_int_equal(errno, EPROTO);			\
		assert_string_not_equal(why, "");			\
	} while (0)

static int setup(void **state)
{
	struct recbuf b = { 0 };
	int rc;

	(void)state;
	put_shape(&b);
	rc = xen_shape_read(b.bytes, b.used, &shape, why);
	recbuf_free(&b);
	return rc;
}

static int teardown(void **state)
{
	(void)state;
	xen_shape_free(&shape);
	return 0;
}

/* --- cases -------------------------------------------------------------- */

static void test_good(void **state)
{
	struct recbuf b = { 0 };
	struct xen_image i;

	(void)state;
	put_image(&b);
	assert_int_equal(xen_image_read(b.bytes, b.used, &shape, &i, why), 0);
	assert_int_equal(i.dom->ports, PORTS);
	assert_int_equal(i.vcpu[1]->info_offset, 64);
	assert_int_equal(i.grant[1]->gfn, 0xffff);
	assert_int_equal(xen_param(i.param, i.nparam, HVM_PARAM_STORE_EVTCHN),
			 1);
	assert_int_equal(xen_param(i.param, i.nparam, HVM_PARAM_IDENT_PT), 0);
	recbuf_free(&b);
}

static void test_frames(void **state)
{
	(void)state;
	assert_true(xen_shape_has(&shape, 0));
	assert_true(xen_shape_has(&shape, PAGES - 1));
	assert_false(xen_shape_has(&shape, PAGES));
	assert_false(xen_shape_has(&shape, SPECIAL - 1));
	assert_true(xen_shape_has(&shape, SPECIAL + 7));
	assert_false(xen_shape_has(&shape, SPECIAL + 8));
	assert_false(xen_shape_has(&shape, ~0ull));
}

enum change { LEFT_OUT, TWICE, SHORTER, OTHER_INSTANCE, CHANGES };

/* Copy @whole, with record number @number changed; its type. */
static uint16_t changed(const struct recbuf *whole, size_t number,
			enum change how, struct recbuf *out)
{
	uint16_t type = 0;
	struct record r;
	size_t pos = 0;

	for (size_t n = 0; record_next(whole->bytes, whole->used, &pos,
				       &r) > 0; n++) {
		if (n != number) {
			put(out, r.type, r.instance, r.data, r.length);
			continue;
		}
		type = r.type;
		if (how == TWICE)
			put(out, r.type, r.instance, r.data, r.length);
		if (how == OTHER_INSTANCE)
			r.instance += 9000;
		if (how == SHORTER)
			r.length--;
		if (how != LEFT_OUT)
			put(out, r.type, r.instance, r.data, r.length);
	}
	return type;
}

static void test_each_record(void **state)
{
	(void)state;
	for (int l = 0; l < LISTS; l++) {
		struct recbuf whole = { 0 }, b = { 0 };
		enum change how = LEFT_OUT;
		uint16_t type;
		size_t n = 0;

		lists[l].make(&whole);
		while ((type = changed(&whole, n, how, &b))) {
			if (how == LEFT_OUT && type == lists[l].optional)
				assert_int_equal(lists[l].read(b.bytes,
							       b.used), 0);
			else
				refused(lists[l].read(b.bytes, b.used));
			recbuf_reset(&b);
			if (++how == CHANGES) {
				how = LEFT_OUT;
				n++;
			}
		}
		assert_true(n > 4);
		recbuf_free(&b);
		recbuf_free(&whole);
	}
}

static void test_unknown(void **state)
{
	(void)state;
	for (int l = 0; l < LISTS; l++) {
		struct recbuf b = { 0 };

		lists[l].make(&b);
		recbuf_add(&b, 0x7777, 0, 0, "x", 1);
		assert_int_equal(lists[l].read(b.bytes, b.used), 0);
		recbuf_add(&b, 0x7777, RECORD_MANDATORY, 0, "x", 1);
		refused(lists[l].read(b.bytes, b.used));
		recbuf_free(&b);
	}
}

/* One field of one record out of range. */
static void spoil(uint16_t type, uint32_t instance, size_t offset,
		  uint8_t byte)
{
	struct recbuf b = { 0 };
	struct record r;

	put_image(&b);
	assert_int_equal(record_find(b.bytes, b.used, type, instance, &r), 1);
	assert_int_not_equal(((const uint8_t *)r.data)[offset], byte);
	b.bytes[(const uint8_t *)r.data - b.bytes + offset] = byte;
	refused(read_image(b.bytes, b.used));
	recbuf_free(&b);
}

#define SPOIL(type, instance, of, field, at, byte)			\
	spoil(type, instance, offsetof(struct of, field) + (at), byte)

static void test_ranges(void **state)
{
	const size_t port = sizeof(struct xen_rec_port);

	(void)state;
	SPOIL(RECORD_XEN_DOM, 0, xen_rec_dom, shared_info, 0, 0x11);
	SPOIL(RECORD_XEN_DOM, 0, xen_rec_dom, ports, 0, PORTS + 1);
	SPOIL(RECORD_XEN_DOM, 0, xen_rec_dom, grant_frames, 0, FRAMES + 1);
	SPOIL(RECORD_XEN_PARAMS, 0, xen_rec_param, index, 0, 200);
	SPOIL(RECORD_XEN_PARAMS, 0, xen_rec_param, index, 0, 2);	/* order */
	SPOIL(RECORD_XEN_VCPU, 1, xen_rec_vcpu, flags, 0, 0x80);
	SPOIL(RECORD_XEN_VCPU, 1, xen_rec_vcpu, upcall_vector, 1, 1);
	SPOIL(RECORD_XEN_VCPU, 1, xen_rec_vcpu, info_gfn, 0, PAGES);
	SPOIL(RECORD_XEN_VCPU, 1, xen_rec_vcpu, info_offset, 0, 65);
	SPOIL(RECORD_XEN_VCPU, 1, xen_rec_vcpu, info_offset, 1, 0x10);
	spoil(RECORD_XEN_PORTS, 0, port + 0, 9);		/* state */
	spoil(RECORD_XEN_PORTS, 0, port + 2, 3);		/* remote */
	spoil(RECORD_XEN_PORTS, 0, 3 * port + 4, 24);		/* virq */
	spoil(RECORD_XEN_PORTS, 0, 4 * port + 8, VCPUS);	/* vcpu */
	/* Kemari's port must be its own, and no other. */
	spoil(RECORD_XEN_PORTS, 0, 10 * port, KEMARI_EVTCHN_XEN);
	spoil(RECORD_XEN_PORTS, 0, KEMARI_PORT * port, KEMARI_EVTCHN_FREE);
	/* So must those of its device model. */
	spoil(RECORD_XEN_PORTS, 0, DM_PORT * port, KEMARI_EVTCHN_FREE);
	spoil(RECORD_XEN_PORTS, 0, (DM_PORT + 2) * port, KEMARI_EVTCHN_IPI);
	spoil(RECORD_XEN_PORTS, 0, PIRQ_PORT * port + 4, PIRQ + 1);
	spoil(RECORD_XEN_PIRQS, 0, 2 * 9, PIRQ + 1);
	spoil(RECORD_DM_STATE, 0, 0, 'q');
	spoil(RECORD_DM_STATE, 0, 13, 200);		/* length of a name */
	/* The first part's type; its length. */
	spoil(RECORD_XEN_CONTEXT, 0, 8, 2);
	spoil(RECORD_XEN_CONTEXT, 0, 8 + 7, 0xff);
}

/* One field of the description of the device model out of range. */
static void spoil_dm(size_t offset, uint8_t byte)
{
	struct recbuf b = { 0 };
	struct record r;

	put_shape(&b);
	assert_int_equal(record_find(b.bytes, b.used, RECORD_XEN_DM, 0, &r),
			 1);
	b.bytes[(const uint8_t *)r.data - b.bytes + offset] = byte;
	refused(read_shape(b.bytes, b.used));
	recbuf_free(&b);
}

static void test_device_model(void **state)
{
	struct xen_shape with = shape, bare;
	struct recbuf s = { 0 }, b = { 0 };

	(void)state;
	spoil_dm(offsetof(struct xen_rec_dm, memory_mib), 0);
	spoil_dm(offsetof(struct xen_rec_dm, memory_mib) + 3, 1);
	spoil_dm(offsetof(struct xen_rec_dm, first_port), 0);
	spoil_dm(offsetof(struct xen_rec_dm, first_port) + 3, 0xff);
	/* Kemari's own is among them. */
	spoil_dm(offsetof(struct xen_rec_dm, first_port), KEMARI_PORT - 1);
	spoil_dm(offsetof(struct xen_rec_dm, ports), VCPUS);
	spoil_dm(offsetof(struct xen_rec_dm, ports) + 3, 0xff);
	spoil_dm(offsetof(struct xen_rec_dm, kernel), 2);

	/* Of a guest without, all that is one's is refused. */
	put_shape_bare(&s);
	assert_int_equal(xen_shape_read(s.bytes, s.used, &bare, why), 0);
	shape = bare;
	put_image_of(&b, false);
	assert_int_equal(read_image(b.bytes, b.used), 0);
	recbuf_reset(&b);
	put_image(&b);
	refused(read_image(b.bytes, b.used));
	shape = with;
	recbuf_reset(&b);
	put_image_of(&b, false);
	refused(read_image(b.bytes, b.used));
	xen_shape_free(&bare);
	recbuf_free(&b);
	recbuf_free(&s);
}

static void test_context_cpus(void **state)
{
	(void)state;
	for (uint16_t cpus = 0; cpus < 4; cpus++) {
		struct recbuf b = { 0 };
		struct xen_image i = { 0 };
		struct record r;

		put_context(&b, cpus);
		assert_int_equal(record_find(b.bytes, b.used,
					     RECORD_XEN_CONTEXT, 0, &r), 1);
		if (cpus == VCPUS)
			assert_int_equal(image_record(&r, &shape, &i, why), 0);
		else
			refused(image_record(&r, &shape, &i, why));
		recbuf_free(&b);
	}
}

/* Bytes of the worst kind: nothing is read outside of the list. */
static void test_flips(void **state)
{
	(void)state;
	srand(1);	/* NOLINT(cert-msc32-c,cert-msc51-cpp): the same each time */
	for (int l = 0; l < LISTS; l++) {
		struct recbuf b = { 0 };

		lists[l].make(&b);
		for (int n = 0; n < FLIPS; n++) {
			/* A copy of just that size: the sanitizer watches. */
			size_t len = n % 2 ? b.used :
					     (size_t)rand() % (b.used + 1);
			uint8_t *copy = malloc(len ? len : 1);

			assert_non_null(copy);
			memcpy(copy, b.bytes, len);
			for (int f = 0; len && f < 1 + n % 4; f++)
				copy[(size_t)rand() % len] ^= 1 << rand() % 8;
			why[0] = '\0';
			if (lists[l].read(copy, len))
				assert_string_not_equal(why, "");
			free(copy);
		}
		recbuf_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_each_record),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_device_model),
		cmocka_unit_test(test_context_cpus),
		cmocka_unit_test(test_flips),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
