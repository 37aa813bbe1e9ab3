/* The options of connections: checked, and completed by their defaults. Any thread. */
#include "group.h"

#include <netpoll/error.h>
#include <netpoll/framer.h>
#include <netpoll/transform.h>

#include <errno.h>

int np_timeout_complete(int64_t *timeout_ms, int64_t fallback)
{
    if (*timeout_ms < NETPOLL_TIMEOUT_NONE || *timeout_ms > NETPOLL_TIMEOUT_MS_MAX)
        return -EINVAL;
    if (*timeout_ms == 0)
        *timeout_ms = fallback;
    return 0;
}

static void complete_bytes(size_t *bytes, size_t fallback)
{
    if (*bytes == 0)
        *bytes = fallback;
}

static int complete_timeouts(struct netpoll_conn_options *options)
{
    int status = np_timeout_complete(&options->read_timeout_ms, NETPOLL_READ_TIMEOUT_MS_DEFAULT);
    if (status == 0)
        status = np_timeout_complete(&options->write_timeout_ms, NETPOLL_WRITE_TIMEOUT_MS_DEFAULT);
    if (status == 0)
        status = np_timeout_complete(&options->close_timeout_ms, NETPOLL_CLOSE_TIMEOUT_MS_DEFAULT);
    if (status == 0)
        status = np_timeout_complete(&options->idle_timeout_ms, NETPOLL_TIMEOUT_NONE);
    if (status == 0)
        status = np_timeout_complete(&options->request_timeout_ms, NETPOLL_TIMEOUT_NONE);
    /* They share their place in a connection. */
    if (options->on_alarm != NULL && options->request_timeout_ms != NETPOLL_TIMEOUT_NONE)
        return -EINVAL;
    return status;
}

static int complete_limits(struct netpoll_conn_options *options)
{
    complete_bytes(&options->max_message_bytes, NETPOLL_MESSAGE_BYTES_DEFAULT);
    complete_bytes(&options->input_high_bytes, NETPOLL_INPUT_HIGH_BYTES_DEFAULT);
    complete_bytes(&options->input_pinned_bytes, NETPOLL_INPUT_PINNED_BYTES_DEFAULT);
    complete_bytes(&options->output_high_bytes, NETPOLL_OUTPUT_HIGH_BYTES_DEFAULT);
    complete_bytes(&options->output_hard_bytes, NETPOLL_OUTPUT_HARD_BYTES_DEFAULT);
    /* A high mark below the default low one brings its own. */
    size_t input_low = NETPOLL_INPUT_LOW_BYTES_DEFAULT;
    if (input_low > options->input_high_bytes)
        input_low = options->input_high_bytes / 4;
    size_t output_low = NETPOLL_OUTPUT_LOW_BYTES_DEFAULT;
    if (output_low > options->output_high_bytes)
        output_low = options->output_high_bytes / 4;
    complete_bytes(&options->input_low_bytes, input_low);
    complete_bytes(&options->output_low_bytes, output_low);
    if (options->input_low_bytes > options->input_high_bytes ||
        options->output_low_bytes > options->output_high_bytes ||
        options->output_high_bytes > options->output_hard_bytes ||
        options->max_message_bytes > NETPOLL_MESSAGE_BYTES_MAX ||
        options->input_pinned_bytes > NETPOLL_INPUT_PINNED_BYTES_MAX)
        return -EINVAL;
    return 0;
}

static int complete_socket(struct netpoll_conn_options *options)
{
    if (options->keepalive_s < -1 || options->user_timeout_ms < 0 ||
        options->user_timeout_ms > NETPOLL_TIMEOUT_MS_MAX)
        return -EINVAL;
    if (options->keepalive_s == 0)
        options->keepalive_s = NETPOLL_KEEPALIVE_S_DEFAULT;
    return 0;
}

static bool is_length_field(const struct netpoll_framer *framer)
{
    uint32_t bytes = framer->length.bytes;
    return (bytes >= 1 && bytes <= 4) || bytes == 8;
}

static int check_framer(const struct netpoll_conn_options *options)
{
    const struct netpoll_framer *framer = options->framer;
    if (framer == NULL)
        return 0;
    if (framer->max_frame_bytes > options->max_message_bytes)
        return -EINVAL;
    size_t limit =
        framer->max_frame_bytes != 0 ? framer->max_frame_bytes : options->max_message_bytes;
    switch (framer->kind) {
    case NETPOLL_FRAMER_LENGTH:
        return is_length_field(framer) &&
                       (size_t)framer->length.offset + framer->length.bytes <= limit
                   ? 0
                   : -EINVAL;
    case NETPOLL_FRAMER_LINE:
        return 0;
    case NETPOLL_FRAMER_FIXED:
        return framer->fixed_bytes > 0 && framer->fixed_bytes <= limit ? 0 : -EINVAL;
    case NETPOLL_FRAMER_CUSTOM:
        return framer->fn != NULL ? 0 : -EINVAL;
    }
    return -EINVAL;
}

static int check_transform(const struct netpoll_transform *transform)
{
    if (transform == NULL)
        return 0;
    return transform->open != NULL && transform->decode != NULL && transform->encode != NULL &&
                   transform->close != NULL
               ? 0
               : -EINVAL;
}

int np_conn_options_complete(struct netpoll_conn_options *options)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    if (options->handler != NETPOLL_HANDLER_POOL && options->handler != NETPOLL_HANDLER_INLINE)
        return -EINVAL;
    int status = complete_timeouts(options);
    if (status == 0)
        status = complete_limits(options);
    if (status == 0)
        status = check_framer(options);
    if (status == 0)
        status = check_transform(options->transform);
    return status != 0 ? status : complete_socket(options);
}
