/* Workers whose tasks say that they block: what the end of a task does about it. */
#ifndef GP_BLOCK_H
#define GP_BLOCK_H

#include <stdint.h>

/* gopool_block_begin() without gopool_block_end() on the calling thread; 0 where it is no worker.
 */
uint32_t gp_block_depth(void);

/* Ends what was begun since the depth was that. Under no lock. */
void gp_block_restore(uint32_t depth);

#endif
