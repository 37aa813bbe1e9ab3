/*
 * How many connections there are from each address; those of one /64 of IPv6 count as one. Any
 * thread.
 */
#ifndef HS_ADDRESSES_H
#define HS_ADDRESSES_H

#include <stdbool.h>
#include <stdint.h>

struct hs_addresses;

/* 0 or -ENOMEM. */
int hs_addresses_create(struct hs_addresses **out);
/* NULL does nothing. */
void hs_addresses_destroy(struct hs_addresses *addresses);

/* Reads an address in netpoll's form, "192.0.2.1:80" or "[2001:db8::1]:80". False: it is another
 * kind. */
bool hs_address_parse(const char *text, uint64_t key[2]);
/* Counts one more unless there are as many already. 0; -EBUSY; -ENOMEM. */
int hs_addresses_add(struct hs_addresses *addresses, const uint64_t key[2], uint32_t limit);
void hs_addresses_remove(struct hs_addresses *addresses, const uint64_t key[2]);

#endif
