/** What every public header of nhttp needs: visibility and checks. */
#ifndef NHTTP_EXPORT_H
#define NHTTP_EXPORT_H

#define NHTTP_API        __attribute__((visibility("default")))
#define NHTTP_MUST_CHECK __attribute__((warn_unused_result))

#endif
