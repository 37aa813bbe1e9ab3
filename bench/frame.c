/* Makes frames. */
#include "frame.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

char *frame_create(uint32_t payload)
{
    char *frame = malloc(FRAME_HEAD_BYTES + payload);
    if (frame == NULL)
        return NULL;
    uint32_t head = htonl(payload);
    memcpy(frame, &head, FRAME_HEAD_BYTES);
    for (uint32_t i = 0; i < payload; i++)
        frame[FRAME_HEAD_BYTES + i] = (char)(i * 31 + 7);
    return frame;
}
