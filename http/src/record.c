/* What is told of requests: records and panics. Thread: who answers. */
#include "upload.h"

#include <netpoll/runtime.h>

void hs_record(struct hs_conn *c, const struct nhttp_request *request, int status,
               uint64_t body_bytes)
{
    const struct nhttp_server_options *options = &c->server->options;
    if (options->on_record == NULL)
        return;
    struct nhttp_record record = {
        .conn_id = netpoll_conn_id(c->conn),
        .status = (uint16_t)status,
        .body_bytes_out = body_bytes,
        .conn = c->conn,
    };
    if (request != NULL) {
        record.method = nhttp_request_method_name(request);
        record.target = nhttp_request_target(request);
        record.minor_version = request->head.minor_version;
        record.body_bytes_in =
            request->upload != NULL ? hs_upload_received(request->upload) : request->in.bytes;
        record.took_us = (int64_t)(hs_now_us() - request->began_us);
    }
    hs_call_on_record(c, &record);
}

void hs_log_panic(const struct nhttp_request *request, const struct gopool_panic *panic)
{
    struct hs_conn *c = request->c;
    char text[GOPOOL_PANIC_TEXT_BYTES];
    (void)gopool_panic_text(panic, text, sizeof text);
    netpoll_runtime_log(c->server->runtime, NETPOLL_LOG_ERROR,
                        "connection %llu: the handler of request %u panicked: %s",
                        (unsigned long long)netpoll_conn_id(c->conn), request->number, text);
}
