/*
 * What must hold of a side whenever no call is in it. Builds without assertions check nothing.
 */
#ifndef LB_VALIDATE_H
#define LB_VALIDATE_H

struct linkbuffer;

#ifdef NDEBUG

#    define LB_READER_CALL(lb) ((void)(lb))
#    define LB_WRITER_CALL(lb) ((void)(lb))

#else

/* End the program when the side is damaged. A walk stops after 64 windows. */
void lb_validate_reader(const struct linkbuffer *lb);
void lb_validate_writer(const struct linkbuffer *lb);

static inline void lb_end_reader_call(const struct linkbuffer *const *lb)
{
    lb_validate_reader(*lb);
}

static inline void lb_end_writer_call(const struct linkbuffer *const *lb)
{
    lb_validate_writer(*lb);
}

#    define LB_CALL(side, lb)                                        \
        const struct linkbuffer *const lb_##side##_call              \
            __attribute__((cleanup(lb_end_##side##_call), unused)) = \
                (lb_validate_##side(lb), (lb))

/* First line of a public call of the side: validates here and at every return. */
#    define LB_READER_CALL(lb) LB_CALL(reader, lb)
#    define LB_WRITER_CALL(lb) LB_CALL(writer, lb)

#endif

#endif
