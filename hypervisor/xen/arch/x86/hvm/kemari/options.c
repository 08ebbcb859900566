/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * options.c - Kemari: boot options that prepare a host
 *
 *   kemari=<bool>                   guests keep to interfaces whose state can
 *                                   be moved: 2-level event channels, grant v1
 *   kemari-domids=<first>-<last>    domain IDs that this host hands out
 */
#include <xen/init.h>
#include <xen/kemari.h>
#include <xen/lib.h>
#include <xen/param.h>

static bool __ro_after_init opt_kemari;
boolean_param("kemari", opt_kemari);

static domid_t __ro_after_init domid_first = 1;
static domid_t __ro_after_init domid_last = DOMID_FIRST_RESERVED - 1;

/* A domain ID of one to five digits; 0, which is none, for anything else. */
static unsigned long __init parse_domid(const char *s, const char **end)
{
    unsigned long id = simple_strtoul(s, end, 10);

    return *end > s && *end - s <= 5 ? id : 0;
}

static int __init cf_check parse_kemari_domids(const char *s)
{
    unsigned long first, last;
    const char *end;

    first = parse_domid(s, &end);
    if ( *end != '-' )
        return -EINVAL;

    last = parse_domid(end + 1, &end);
    if ( *end )
        return -EINVAL;

    /* The last one handed out is not tried at once: there must be two. */
    if ( first < 1 || first >= last || last >= DOMID_FIRST_RESERVED )
        return -EINVAL;

    domid_first = first;
    domid_last = last;

    return 0;
}
custom_param("kemari-domids", parse_kemari_domids);

bool kemari_host_prepared(void)
{
    return opt_kemari;
}

/* The ID to try: @dom, or the first one if @dom is beyond the range. */
domid_t kemari_domid(domid_t dom)
{
    return dom < domid_first || dom > domid_last ? domid_first : dom;
}

/* Where the last search ended; before the first one, the end of the range. */
domid_t kemari_domid_rover(domid_t rover)
{
    return rover < domid_first || rover > domid_last ? domid_last : rover;
}

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
