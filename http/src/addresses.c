/* A table of addresses: chains under one lock, for it is entered once a connection. */
#include "addresses.h"

#include <mcache/mcache.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define CHAINS 1024U

struct address {
    struct address *next;
    uint64_t key[2];
    uint32_t count;
};

struct hs_addresses {
    pthread_mutex_t mutex; /* guards the chains */
    uint64_t seed;
    struct address *chains[CHAINS];
};

int hs_addresses_create(struct hs_addresses **out)
{
    struct hs_addresses *addresses = mcache_calloc(1, sizeof *addresses);
    *out = addresses;
    if (addresses == NULL)
        return -ENOMEM;
    pthread_mutex_init(&addresses->mutex, NULL);
    /* A client must not know which of its addresses meet in a chain. */
    addresses->seed = (uint64_t)(uintptr_t)addresses * UINT64_C(0x9e3779b97f4a7c15);
    return 0;
}

void hs_addresses_destroy(struct hs_addresses *addresses)
{
    if (addresses == NULL)
        return;
    pthread_mutex_destroy(&addresses->mutex);
    mcache_free(addresses);
}

bool hs_address_parse(const char *text, uint64_t key[2])
{
    char host[INET6_ADDRSTRLEN];
    uint8_t bytes[16] = {0};
    bool is_6 = text[0] == '[';
    const char *from = is_6 ? text + 1 : text;
    size_t n = strcspn(from, is_6 ? "]%" : ":");
    if (n >= sizeof host || from[n] == '\0')
        return false;
    memcpy(host, from, n);
    host[n] = '\0';
    if (inet_pton(is_6 ? AF_INET6 : AF_INET, host, is_6 ? bytes : bytes + 12) != 1)
        return false;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (!is_6)
        memcpy(bytes, mapped, sizeof mapped);
    /* A host has as many addresses as it likes within its /64 (RFC 4291, section 2.5.4). */
    else if (memcmp(bytes, mapped, sizeof mapped) != 0)
        memset(bytes + 8, 0, 8);
    memcpy(key, bytes, sizeof bytes);
    return true;
}

static struct address **find(struct hs_addresses *addresses, const uint64_t key[2])
{
    uint64_t hash = (key[0] ^ addresses->seed) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ (hash >> 32) ^ key[1]) * UINT64_C(0xff51afd7ed558ccd);
    struct address **at = &addresses->chains[(hash >> 32) % CHAINS];
    while (*at != NULL && ((*at)->key[0] != key[0] || (*at)->key[1] != key[1]))
        at = &(*at)->next;
    return at;
}

int hs_addresses_add(struct hs_addresses *addresses, const uint64_t key[2], uint32_t limit)
{
    int status = 0;
    pthread_mutex_lock(&addresses->mutex);
    struct address **at = find(addresses, key);
    if (*at == NULL) {
        *at = mcache_alloc(sizeof **at);
        if (*at != NULL)
            **at = (struct address){.key = {key[0], key[1]}};
        else
            status = -ENOMEM;
    }
    if (status == 0 && (*at)->count >= limit)
        status = -EBUSY;
    if (status == 0)
        (*at)->count++;
    pthread_mutex_unlock(&addresses->mutex);
    return status;
}

void hs_addresses_remove(struct hs_addresses *addresses, const uint64_t key[2])
{
    pthread_mutex_lock(&addresses->mutex);
    struct address **at = find(addresses, key);
    if (*at != NULL && --(*at)->count == 0) {
        struct address *gone = *at;
        *at = gone->next;
        mcache_free(gone);
    }
    pthread_mutex_unlock(&addresses->mutex);
}
