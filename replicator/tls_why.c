// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tls_why.c - why a certificate is not accepted, in words
 *
 * What a certificate says of itself may not have been verified yet: it is
 * shown, shortened and printable, and decides nothing.
 */
#include "replicator/tls_int.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/x509v3.h>

/* Append up to @len bytes; false: there is no more room. */
static bool add(char out[TLS_NAMES_MAX], const char *text, size_t len)
{
	size_t at = strlen(out), i;

	for (i = 0; i < len && at < TLS_NAMES_MAX - 1; i++)
		out[at++] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[at] = '\0';
	return i == len;
}

static bool add_name(char out[TLS_NAMES_MAX], const GENERAL_NAME *name)
{
	char text[INET6_ADDRSTRLEN] = "";
	const ASN1_STRING *s;
	int type, len;

	s = GENERAL_NAME_get0_value(name, &type);
	if (type != GEN_DNS && type != GEN_IPADD)
		return true;
	len = ASN1_STRING_length(s);
	if (*out && !add(out, ", ", 2))
		return false;
	if (type == GEN_DNS)
		return add(out, (const char *)ASN1_STRING_get0_data(s),
			   (size_t)len);
	if (len == 4 || len == 16)
		inet_ntop(len == 4 ? AF_INET : AF_INET6,
			  ASN1_STRING_get0_data(s), text, sizeof(text));
	return add(out, text, strlen(text));
}

void tls_names(const X509 *cert, char out[TLS_NAMES_MAX])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name,
						NULL, NULL);
	int i;

	out[0] = '\0';
	for (i = 0; i < sk_GENERAL_NAME_num(names); i++)
		if (!add_name(out, sk_GENERAL_NAME_value(names, i)))
			break;
	GENERAL_NAMES_free(names);
	if (!*out)
		add(out, "no name", 7);
}

void tls_date(const ASN1_TIME *t, char out[TLS_DATE_MAX])
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1 ||
	    !strftime(out, TLS_DATE_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(out, TLS_DATE_MAX, "?");
}

static void today(char out[TLS_DATE_MAX])
{
	time_t now = time(NULL);
	struct tm tm;

	if (!gmtime_r(&now, &tm) ||
	    !strftime(out, TLS_DATE_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(out, TLS_DATE_MAX, "?");
}

void tls_verify_why(X509_STORE_CTX *sc, const struct tls_config *c,
		    const char *whose, char *why, size_t len)
{
	const X509 *cert = X509_STORE_CTX_get_current_cert(sc);
	char names[TLS_NAMES_MAX] = "?", date[TLS_DATE_MAX] = "?";
	char now[TLS_DATE_MAX];
	int err = X509_STORE_CTX_get_error(sc);

	today(now);
	if (cert)
		tls_names(cert, names);
	switch (err) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		tls_date(X509_get0_notAfter(cert), date);
		snprintf(why, len, "%s (%s) has expired: valid until %s, the clock here says %s",
			 whose, names, date, now);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		tls_date(X509_get0_notBefore(cert), date);
		snprintf(why, len, "%s (%s) is not valid yet: valid from %s, the clock here says %s",
			 whose, names, date, now);
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		snprintf(why, len, "%s has the wrong name: it is for %s, must be for %s (--peer)",
			 whose, names, c->peer);
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		snprintf(why, len, "%s (%s) is of another CA than that in %.100s",
			 whose, names, c->ca);
		break;
	case X509_V_ERR_INVALID_PURPOSE:
		snprintf(why, len, "%s (%s) is not for its side of TLS: its extendedKeyUsage must name serverAuth and clientAuth",
			 whose, names);
		break;
	default:
		snprintf(why, len, "%s (%s): %s", whose, names,
			 X509_verify_cert_error_string(err));
	}
}
