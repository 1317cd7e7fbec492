/* SPDX-License-Identifier: MIT
 * See tls_channel.h. What OpenSSL is asked for: TLS 1.3 and nothing older, one cipher suite, no certificates, tickets,
 * resumption or early data. A server that has no certificate can end a handshake by the key only; a client that trusts no
 * authority takes no certificate; both look at the end whether it was the key. */
#include "engine/tls_channel.h"

#include "core/error.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

static const char identity[] = "pellucid-1";

struct pel__tls {
    SSL_CTX *context;
    bool server;
    unsigned char key[PEL__TLS_KEY];
};

struct pel__channel {
    SSL *ssl;
    bool server;
};

bool pel__tls_key(unsigned char key[PEL__TLS_KEY], const void *secret, size_t size, pel_error *err)
{
    static char digest[] = "SHA256", salt[] = "pellucid tls 1", info[] = "pre-shared key";
    EVP_KDF *const kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *const context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    const OSSL_PARAM words[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof salt - 1),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof info - 1),
        OSSL_PARAM_construct_end(),
    };
    const bool ok = context && EVP_KDF_derive(context, key, PEL__TLS_KEY, words) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return ok || pel__fail(err, PEL_REFUSED, "OpenSSL cannot derive a key by HKDF with SHA-256");
}

/* ---- the key, as OpenSSL wants it: a session that both sides would have had before ------------------------------------ */

static SSL_SESSION *make_session(SSL *ssl)
{
    static const unsigned char suite[] = {0x13, 0x01}; /* TLS_AES_128_GCM_SHA256 */
    const pel__tls *const t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const SSL_CIPHER *const cipher = SSL_CIPHER_find(ssl, suite);
    SSL_SESSION *const s = SSL_SESSION_new();
    if (s && cipher && SSL_SESSION_set1_master_key(s, t->key, sizeof t->key) == 1 && SSL_SESSION_set_cipher(s, cipher) == 1 &&
        SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) == 1)
        return s;
    SSL_SESSION_free(s);
    return NULL;
}

static int find_session(SSL *ssl, const unsigned char *name, size_t size, SSL_SESSION **out)
{
    const bool ours = size == sizeof identity - 1 && memcmp(name, identity, size) == 0;
    *out = ours ? make_session(ssl) : NULL;
    return !ours || *out != NULL;
}

static int use_session(SSL *ssl, const EVP_MD *digest, const unsigned char **name, size_t *size, SSL_SESSION **out)
{
    *name = (const unsigned char *)identity;
    *size = sizeof identity - 1;
    *out = digest && EVP_MD_get_type(digest) != NID_sha256 ? NULL : make_session(ssl);
    return 1;
}

bool pel__tls_create(pel__tls **out, bool server, const unsigned char key[PEL__TLS_KEY], pel_error *err)
{
    pel__tls *t = calloc(1, sizeof *t);
    if (!t)
        return pel__fail(err, PEL_NO_MEMORY, "no memory for TLS");
    t->server = server;
    memcpy(t->key, key, sizeof t->key);
    SSL_CTX *const c = t->context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!c || SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) != 1 || SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256") != 1 || SSL_CTX_set_num_tickets(c, 0) != 1 || SSL_CTX_set_app_data(c, t) != 1) {
        pel__tls_destroy(t);
        return pel__fail(err, PEL_REFUSED, "OpenSSL refuses TLS 1.3 with TLS_AES_128_GCM_SHA256: %s", ERR_reason_error_string(ERR_peek_error()));
    }
    (void)SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    if (server)
        SSL_CTX_set_psk_find_session_callback(c, find_session);
    else
        SSL_CTX_set_psk_use_session_callback(c, use_session);
    SSL_CTX_set_verify(c, server ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    *out = t;
    return true;
}

void pel__tls_destroy(pel__tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->context);
    OPENSSL_cleanse(t->key, sizeof t->key);
    free(t);
}

/* ---- one connection ----------------------------------------------------------------------------------------------------- */

bool pel__channel_create(pel__channel **out, pel__tls *t, int fd, pel_error *err)
{
    pel__channel *c = calloc(1, sizeof *c);
    SSL *const ssl = c ? SSL_new(t->context) : NULL;
    if (!ssl || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        free(c);
        return pel__fail(err, PEL_NO_MEMORY, "no memory for a connection");
    }
    c->ssl = ssl;
    c->server = t->server;
    if (t->server)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    *out = c;
    return true;
}

void pel__channel_destroy(pel__channel *c)
{
    if (!c)
        return;
    SSL_free(c->ssl);
    free(c);
}

/* What a failed handshake says about the other end. */
static const char *meaning(bool server, unsigned long error)
{
    switch (ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0) {
    case SSL_R_BINDER_DOES_NOT_VERIFY:
        return "it has the key of another run";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNEXPECTED_MESSAGE:
        return server ? "it does not speak TLS" : "it does not speak TLS: was that manager started without --tls?";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "it speaks an older TLS than 1.3";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return "it hung up";
    case 0:
        return "the connection failed";
    default:
        return server ? "it has no key of this run" : "it does not accept the key of this run, or has none";
    }
}

static enum pel__step failed(const pel__channel *c, const char *what, int number, pel_error *err)
{
    const unsigned long error = ERR_peek_last_error(), first = ERR_peek_error();
    const char *const reason = ERR_reason_error_string(first);
    if (error == 0 && number == 0)
        (void)pel__fail(err, PEL_IO, "%s", "it hung up");
    else if (error == 0)
        (void)pel__fail_errno(err, number, "%s", what);
    else
        (void)pel__fail(err, PEL_IO, "%s (%s)", meaning(c->server, first), reason ? reason : "no reason told");
    return PEL__STEP_FAILED;
}

/* After a call that returned n <= 0. */
static enum pel__step step_of(const pel__channel *c, int n, const char *what, pel_error *err)
{
    const int number = errno;
    switch (SSL_get_error(c->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        return PEL__STEP_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return PEL__STEP_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return PEL__STEP_END;
    default:
        return failed(c, what, number, err);
    }
}

static void forget_errors(void)
{
    ERR_clear_error();
    errno = 0;
}

enum pel__step pel__channel_shake_hands(pel__channel *c, pel_error *err)
{
    forget_errors();
    const int n = SSL_do_handshake(c->ssl);
    if (n != 1)
        return step_of(c, n, "shaking hands", err);
    if (SSL_session_reused(c->ssl) == 1 && SSL_version(c->ssl) == TLS1_3_VERSION)
        return PEL__STEP_OK;
    (void)pel__fail(err, PEL_REFUSED, "it did not show the key of this run");
    return PEL__STEP_FAILED;
}

enum pel__step pel__channel_read(pel__channel *c, void *to, int64_t size, int64_t *n, pel_error *err)
{
    size_t got = 0;
    forget_errors();
    const int k = SSL_read_ex(c->ssl, to, (size_t)size, &got);
    *n = (int64_t)got;
    return k == 1 ? PEL__STEP_OK : step_of(c, k, "reading", err);
}

enum pel__step pel__channel_write(pel__channel *c, const void *from, int64_t size, int64_t *n, pel_error *err)
{
    size_t put = 0;
    forget_errors();
    const int k = SSL_write_ex(c->ssl, from, (size_t)size, &put);
    *n = (int64_t)put;
    return k == 1 ? PEL__STEP_OK : step_of(c, k, "writing", err);
}

enum pel__step pel__channel_end(pel__channel *c, pel_error *err)
{
    forget_errors();
    const int n = SSL_shutdown(c->ssl); /* 0: said, not yet answered */
    return n >= 0 ? PEL__STEP_OK : step_of(c, n, "ending", err);
}
