/* Reading the notes. Any thread; the dynamic linker's lock is held meanwhile. */
#include "fault_notes.h"

#include <errno.h>
#include <link.h>
#include <mcache/mcache.h>
#include <stdlib.h>
#include <string.h>

/* As cmake/code_note.h writes them. */
#define NOTE_NAME     "netpoll"
#define NOTE_CODE     1
#define NOTE_DISPATCH 2

#define NOTE_ALIGN     4
#define CAPACITY_FIRST 512

/* Where code lies, as distances from the fields themselves. */
struct note_range {
    int32_t start;
    int32_t end;
};

struct reading {
    struct gp_code_notes *out;
    bool *is_instrumented;
    int status;
};

static int reserve_one(struct gp_code_ranges *ranges)
{
    size_t capacity = ranges->capacity == 0 ? CAPACITY_FIRST : 2 * ranges->capacity;

    if (ranges->count < ranges->capacity)
        return 0;
    struct gp_code_range *grown = mcache_realloc(ranges->of, capacity * sizeof *grown);
    if (grown == NULL)
        return -ENOMEM;
    ranges->of = grown;
    ranges->capacity = capacity;
    return 0;
}

static int add(struct gp_code_ranges *ranges, const struct note_range *at)
{
    const struct gp_code_range range = {.start = (uintptr_t)&at->start + (uintptr_t)at->start,
                                        .end = (uintptr_t)&at->end + (uintptr_t)at->end};

    if (range.start == range.end)
        return 0;
    int status = reserve_one(ranges);
    if (status == 0)
        ranges->of[ranges->count++] = range;
    return status;
}

static size_t aligned(size_t size)
{
    return (size + NOTE_ALIGN - 1) & ~(size_t)(NOTE_ALIGN - 1);
}

/* One note, whose name and description lie behind its head. */
static int read_note(struct gp_code_notes *out, const ElfW(Nhdr) * note)
{
    const char *name = (const char *)(note + 1);
    const struct note_range *range =
        (const struct note_range *)(const void *)(name + aligned(note->n_namesz));
    int status = 0;

    if (note->n_namesz != sizeof NOTE_NAME || memcmp(name, NOTE_NAME, sizeof NOTE_NAME) != 0 ||
        (note->n_type != NOTE_CODE && note->n_type != NOTE_DISPATCH))
        return 0;
    for (size_t i = 0; status == 0 && i < note->n_descsz / sizeof *range; i++)
        status = add(note->n_type == NOTE_CODE ? &out->code : &out->dispatch, &range[i]);
    return status;
}

static int read_segment(struct gp_code_notes *out, const char *at, size_t size)
{
    int status = 0;

    while (status == 0 && size >= sizeof(ElfW(Nhdr))) {
        const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)(const void *)at;
        size_t length = sizeof *note + aligned(note->n_namesz) + aligned(note->n_descsz);

        if (length > size)
            break;
        status = read_note(out, note);
        at += length;
        size -= length;
    }
    return status;
}

static int read_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct reading *reading = arg;

    (void)size;
    if (strstr(info->dlpi_name, "/vgpreload_") != NULL)
        *reading->is_instrumented = true;
    for (ElfW(Half) i = 0; reading->status == 0 && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];

        if (header->p_type == PT_NOTE && header->p_align <= NOTE_ALIGN)
            reading->status = read_segment(
                reading->out, (const char *)(info->dlpi_addr + header->p_vaddr), header->p_memsz);
    }
    return reading->status;
}

static int compare(const void *left, const void *right)
{
    const struct gp_code_range *a = left;
    const struct gp_code_range *b = right;

    return (a->start > b->start) - (a->start < b->start);
}

static void sort(struct gp_code_ranges *ranges)
{
    if (ranges->count > 0)
        qsort(ranges->of, ranges->count, sizeof *ranges->of, compare);
}

int gp_code_read_notes(struct gp_code_notes *out, bool *is_instrumented)
{
    struct reading reading = {.out = out, .is_instrumented = is_instrumented};

    (void)dl_iterate_phdr(read_object, &reading);
    if (reading.status != 0) {
        gp_code_notes_clear(out);
        return reading.status;
    }
    sort(&out->code);
    sort(&out->dispatch);
    return 0;
}

void gp_code_notes_clear(struct gp_code_notes *notes)
{
    mcache_free(notes->code.of);
    mcache_free(notes->dispatch.of);
    *notes = (struct gp_code_notes){0};
}

bool gp_code_ranges_overlap(const struct gp_code_ranges *ranges)
{
    for (size_t i = 1; i < ranges->count; i++) {
        if (ranges->of[i].start < ranges->of[i - 1].end)
            return true;
    }
    return false;
}

bool gp_code_ranges_hold(const struct gp_code_ranges *ranges, uintptr_t address)
{
    size_t low = 0;
    size_t high = ranges->count;

    /* The first that begins behind the address. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ranges->of[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && address < ranges->of[low - 1].end;
}
