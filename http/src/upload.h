/*
 * A body that is read while it comes: the poller gives, whoever has the request takes.
 */
#ifndef HS_UPLOAD_H
#define HS_UPLOAD_H

#include "request.h"

struct hs_upload;

/* Begins with what has come. Turn. 0 or -ENOMEM. */
int hs_upload_create(struct nhttp_request *request);
void hs_upload_destroy(struct hs_upload *upload);
/* How much more it takes. 0: the connection goes on when there is room. Turn. */
size_t hs_upload_room(struct nhttp_request *request);
/* Gives what has been taken of the body; status is that of hs_upload. Turn. 0 or -ENOMEM. */
int hs_upload_give(struct nhttp_request *request, int status);
/* Nothing more will come. Poller. */
void hs_upload_cancel(struct nhttp_request *request);
/* The request has been claimed by HS_CLAIM_POLLER: nobody else writes to the connection when this
 * returns. */
void hs_upload_pass(struct hs_upload *upload);
/* Bytes that have come. Any thread. */
uint64_t hs_upload_received(struct hs_upload *upload);
/* Whether what is left of it can be thrown away: hs_body_may_drain(). Who has the request. */
bool hs_upload_may_drain(struct nhttp_request *request);
/* Whether it is complete, and all of it has been taken. Any thread. */
bool hs_upload_is_over(struct hs_upload *upload);

#endif
